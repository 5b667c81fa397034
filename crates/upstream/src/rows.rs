//! Collections with one document a row: nearly the same on both sides. Fields get the exact type that each side reads, missing ones their
//! default, and fields that neither side knows are kept.

use bson::{Bson, DateTime, Document};
use model::access::Claim;
use protocol::check;

use crate::Reason;

/// Go's zero time in ms: how upstream stores a time that was never set.
const GO_ZERO_TIME_MS: i64 = -62_135_596_800_000;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Text; empty when missing.
    Text,
    /// Text; upstream finds an object only under the name of its storage.
    Engine,
    /// A 32-bit number; 0 when missing.
    Int,
    /// A 64-bit number; 0 when missing.
    Long,
    /// `true` or `false`; `false` when missing.
    Flag,
    /// A time; 1970 when missing.
    Time,
    /// A time, or upstream's zero time for never, which is null here.
    OptionalTime,
    /// Seconds since 1970 at upstream, a time here.
    Seconds,
}

/// A field, under its name on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Field {
    pub theirs: &'static str,
    pub ours: &'static str,
    pub form: Form,
}

/// A collection.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// Its name at upstream.
    pub theirs: &'static str,
    /// Its name here.
    pub ours: &'static str,
    /// Our fields that identify a row; none is empty.
    pub unique: &'static [&'static str],
    /// All fields that have a meaning on both sides.
    pub fields: &'static [Field],
    /// Those with a meaning only here; a fork may use such a name for something else.
    pub own: &'static [Field],
}

/// Fields by their form; `theirs => ours` where the names differ.
macro_rules! fields {
    ($($form:ident: $($theirs:ident $(=> $ours:ident)?)+;)+) => { &[$($(fields!(@ $form $theirs $($ours)?),)+)+] };
    (@ $form:ident $name:ident) => { fields!(@ $form $name $name) };
    (@ $form:ident $theirs:ident $ours:ident) => {
        Field { theirs: stringify!($theirs), ours: stringify!($ours), form: Form::$form }
    };
}

impl Table {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self {
            theirs: "user",
            ours: "user",
            unique: &["user_id"],
            fields: fields! { Text: user_id nickname face_url ex; Int: app_manger_level global_recv_msg_opt; Time: create_time; },
            own: fields! { Int: status; },
        },
        Self {
            theirs: "friend",
            ours: "friend",
            unique: &["owner_user_id", "friend_user_id"],
            fields: fields! {
                Text: owner_user_id friend_user_id remark operator_user_id ex; Int: add_source; Flag: is_pinned; Time: create_time;
            },
            own: &[],
        },
        Self {
            theirs: "friend_request",
            ours: "friend_request",
            unique: &["from_user_id", "to_user_id"],
            fields: fields! {
                Text: from_user_id to_user_id req_msg handler_user_id handle_msg ex; Int: handle_result; Time: create_time handle_time;
            },
            own: fields! { Flag: hidden_from hidden_to; },
        },
        Self {
            theirs: "black",
            ours: "black",
            unique: &["owner_user_id", "block_user_id"],
            fields: fields! { Text: owner_user_id block_user_id operator_user_id ex; Int: add_source; Time: create_time; },
            own: &[],
        },
        Self {
            theirs: "group",
            ours: "group",
            unique: &["group_id"],
            fields: fields! {
                Text: group_id group_name notification introduction face_url ex creator_user_id notification_user_id;
                Int: status group_type need_verification look_member_info apply_member_friend;
                Time: create_time notification_update_time;
            },
            own: &[],
        },
        Self {
            theirs: "group_member",
            ours: "group_member",
            unique: &["group_id", "user_id"],
            fields: fields! {
                Text: group_id user_id nickname face_url inviter_user_id operator_user_id ex; Int: role_level join_source;
                Time: join_time mute_end_time;
            },
            own: &[],
        },
        Self {
            theirs: "group_request",
            ours: "group_request",
            unique: &["group_id", "user_id"],
            fields: fields! {
                Text: group_id user_id req_msg handled_msg handle_user_id inviter_user_id ex; Int: handle_result join_source;
                Time: req_time handled_time;
            },
            own: fields! { Flag: hidden_from hidden_to; },
        },
        Self {
            theirs: "conversation",
            ours: "conversation",
            unique: &["owner_user_id", "conversation_id"],
            fields: fields! {
                Text: owner_user_id conversation_id attached_info ex user_id group_id;
                Int: conversation_type recv_msg_opt burn_duration group_at_type;
                Long: max_seq min_seq msg_destruct_time; Flag: is_pinned is_private_chat is_msg_destruct;
                Time: create_time; OptionalTime: latest_msg_destruct_time;
            },
            own: &[],
        },
        Self {
            theirs: "s3",
            ours: "object",
            unique: &["_id"],
            fields: fields! {
                Text: name => _id user_id hash key content_type group; Engine: engine; Long: size; Time: create_time;
            },
            own: &[],
        },
        Self {
            theirs: "log",
            ours: "client_log",
            unique: &["log_id"],
            fields: fields! {
                Text: log_id user_id url file_name system_type app_framework version ex; Int: platform; Time: create_time;
            },
            own: &[],
        },
        Self {
            theirs: "config",
            ours: "client_config",
            // An empty user is everybody.
            unique: &["user_id", "key"],
            fields: fields! { Text: key user_id value; },
            own: &[],
        },
        Self {
            theirs: "userCommands",
            ours: "user_command",
            unique: &["user_id", "type", "uuid"],
            fields: fields! {
                Text: userID => user_id uuid value ex; Int: type; Seconds: createTime => create_time;
            },
            own: &[],
        },
    ];

    /// Our row of one of upstream's.
    ///
    /// # Errors
    /// Why it cannot be moved.
    pub fn to_ours(&self, theirs: &Document) -> Result<Document, Reason> {
        let id = theirs.get_object_id("_id").map_err(|_other| Reason::Id)?;
        let mut row = Document::new();
        row.insert("_id", id);
        for field in self.fields {
            let value = field.form.to_ours(theirs.get(field.theirs));
            row.insert(
                field.ours,
                value.ok_or(Reason::Field { field: field.theirs, form: field.form.name() })?,
            );
        }
        for (name, value) in theirs {
            let is_known = name == "_id" || self.fields.iter().any(|field| field.theirs == name);
            // A field of a fork never hides one of ours, nor makes a row unreadable.
            if is_known || row.contains_key(name) {
                continue;
            }
            let own = self.own.iter().find(|own| own.ours == name);
            let kept = own.map_or_else(|| Some(value.clone()), |own| own.form.to_ours(Some(value)));
            row.extend(kept.map(|kept| (name.clone(), kept)));
        }
        self.check(&row)?;
        Ok(row)
    }

    /// Upstream's row of one of ours.
    pub fn to_theirs(&self, ours: &Document) -> Document {
        let mut row = Document::new();
        let names_itself = self.fields.iter().any(|field| field.ours == "_id");
        if let (false, Ok(id)) = (names_itself, ours.get_object_id("_id")) {
            row.insert("_id", id);
        }
        for field in self.fields {
            row.insert(field.theirs, field.form.to_theirs(ours.get(field.ours)));
        }
        for (name, value) in ours {
            let is_known = name == "_id" || self.fields.iter().any(|field| field.ours == name);
            if !is_known && !row.contains_key(name) {
                row.insert(name.clone(), value.clone());
            }
        }
        row
    }

    fn check(&self, row: &Document) -> Result<(), Reason> {
        let text = |field: &str| row.get_str(field).unwrap_or_default();
        let may_be_empty = |field: &str| self.theirs == "config" && field == "user_id";
        for field in self.fields.iter().filter(|field| self.unique.contains(&field.ours)) {
            if row.get_str(field.ours).is_ok_and(str::is_empty) && !may_be_empty(field.ours) {
                return Err(Reason::Empty(field.theirs));
            }
        }
        let named = match self.theirs {
            "user" => Some("user_id"),
            "group" => Some("group_id"),
            _ => None,
        };
        if let Some(field) = named
            && check::new_id(field, text(field)).is_err()
        {
            return Err(Reason::Name(field));
        }
        if self.theirs != "conversation" {
            return Ok(());
        }
        let claim = Claim {
            owner: text("owner_user_id"),
            conversation: text("conversation_id"),
            kind: row.get_i32("conversation_type").unwrap_or_default(),
            peer: text("user_id"),
            group: text("group_id"),
        };
        if claim.holds() { Ok(()) } else { Err(Reason::Participants) }
    }
}

/// A whole number, whatever type it has: shells and scripts write doubles.
pub(crate) fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        _ => None,
    }
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Engine => "a text",
            Self::Int => "a 32-bit number",
            Self::Long | Self::Seconds => "a number",
            Self::Flag => "true or false",
            Self::Time | Self::OptionalTime => "a time",
        }
    }

    fn default(self) -> Bson {
        match self {
            Self::Text => Bson::String(String::new()),
            Self::Engine => Bson::String("minio".into()),
            Self::Int => Bson::Int32(0),
            Self::Long => Bson::Int64(0),
            Self::Flag => Bson::Boolean(false),
            Self::Time | Self::Seconds => Bson::DateTime(DateTime::from_millis(0)),
            Self::OptionalTime => Bson::Null,
        }
    }

    fn to_ours(self, value: Option<&Bson>) -> Option<Bson> {
        let value = match value {
            None | Some(Bson::Null | Bson::Undefined) => return Some(self.default()),
            Some(value) => value,
        };
        match (self, value) {
            (Self::Text | Self::Engine, Bson::String(_)) | (Self::Flag, Bson::Boolean(_)) => {
                Some(value.clone())
            }
            (Self::Time, Bson::DateTime(_)) => Some(value.clone()),
            (Self::OptionalTime, Bson::DateTime(time)) if time.timestamp_millis() == GO_ZERO_TIME_MS => {
                Some(Bson::Null)
            }
            (Self::OptionalTime, Bson::DateTime(_)) => Some(value.clone()),
            (Self::Int, number) => i32::try_from(whole(number)?).ok().map(Bson::Int32),
            (Self::Long, number) => whole(number).map(Bson::Int64),
            (Self::Seconds, number) => {
                Some(Bson::DateTime(DateTime::from_millis(whole(number)?.checked_mul(1000)?)))
            }
            _ => None,
        }
    }

    fn to_theirs(self, value: Option<&Bson>) -> Bson {
        match (self, value) {
            (Self::OptionalTime, None | Some(Bson::Null)) => {
                Bson::DateTime(DateTime::from_millis(GO_ZERO_TIME_MS))
            }
            (Self::Seconds, Some(Bson::DateTime(time))) => {
                Bson::Int64(time.timestamp_millis().div_euclid(1000))
            }
            (Self::Seconds, _) => Bson::Int64(0),
            (_, None | Some(Bson::Null)) => self.default(),
            (_, Some(value)) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, oid::ObjectId};
    use proptest::prelude::*;

    use super::*;

    fn table(name: &str) -> &'static Table {
        Table::ALL.iter().find(|table| table.theirs == name).unwrap()
    }

    /// What upstream writes into a field.
    fn written(form: Form) -> BoxedStrategy<Bson> {
        match form {
            Form::Text | Form::Engine => "[a-zA-Z0-9äß]{1,12}".prop_map(Bson::String).boxed(),
            Form::Int => any::<i32>().prop_map(Bson::Int32).boxed(),
            Form::Long => any::<i64>().prop_map(Bson::Int64).boxed(),
            Form::Flag => any::<bool>().prop_map(Bson::Boolean).boxed(),
            Form::Seconds => (0_i64..1 << 40).prop_map(Bson::Int64).boxed(),
            Form::Time | Form::OptionalTime => prop_oneof![Just(GO_ZERO_TIME_MS), 0..1_i64 << 45]
                .prop_map(|ms| Bson::DateTime(DateTime::from_millis(ms)))
                .boxed(),
        }
    }

    fn row(table: &'static Table) -> impl Strategy<Value = Document> {
        let values: Vec<BoxedStrategy<Bson>> = table.fields.iter().map(|field| written(field.form)).collect();
        (values, any::<[u8; 12]>()).prop_map(move |(values, id)| {
            let mut row: Document =
                table.fields.iter().map(|field| field.theirs.to_owned()).zip(values).collect();
            // An object's own id means nothing: names are what is looked for.
            row.insert("_id", ObjectId::from_bytes(id));
            if table.theirs == "conversation" {
                row.insert("conversation_type", 3);
                row.insert("conversation_id", format!("sg_{}", row.get_str("group_id").unwrap()));
            }
            row
        })
    }

    proptest! {
        #[test]
        fn a_row_that_went_there_and_back_is_the_same(
            rows in Table::ALL.iter().map(row).collect::<Vec<_>>(), foreign in "[a-z]{3}_of_a_fork",
        ) {
            for (table, mut theirs) in Table::ALL.iter().zip(rows) {
                theirs.insert(foreign.clone(), "kept");
                let ours = table.to_ours(&theirs).unwrap();
                let mut back = table.to_theirs(&ours);
                if table.theirs == "s3" {
                    back.insert("_id", theirs.get_object_id("_id").unwrap());
                }
                prop_assert_eq!(back, theirs, "{}", table.theirs);
            }
        }
    }

    #[test]
    fn what_an_older_release_did_not_write_has_its_default() {
        let id = ObjectId::new();
        let theirs = doc! { "_id": id, "owner_user_id": "a", "friend_user_id": "b", "add_source": 1.0 };
        let ours = table("friend").to_ours(&theirs).unwrap();
        assert_eq!((ours.get_bool("is_pinned").unwrap(), ours.get_str("remark").unwrap()), (false, ""));
        assert_eq!((ours.get_i32("add_source").unwrap(), ours.get_object_id("_id").unwrap()), (1, id));
    }

    #[test]
    fn a_field_of_a_fork_never_makes_a_row_unreadable() {
        let moved = |status: Bson| {
            let theirs = doc! { "_id": ObjectId::new(), "user_id": "alice", "status": status };
            table("user").to_ours(&theirs).unwrap().get("status").cloned()
        };
        assert_eq!(moved("away".into()), None);
        assert_eq!(moved(Bson::Double(1.0)), Some(Bson::Int32(1)), "a ban that went there and back");
    }

    #[test]
    fn a_row_that_cannot_be_moved_says_why() {
        let id = ObjectId::new();
        for (name, row, reason) in [
            ("user", doc! { "_id": "alice", "user_id": "alice" }, Reason::Id),
            ("user", doc! { "_id": id }, Reason::Empty("user_id")),
            ("user", doc! { "_id": id, "user_id": "a:b" }, Reason::Name("user_id")),
            ("group", doc! { "_id": id, "group_id": "g".repeat(65) }, Reason::Name("group_id")),
            ("userCommands", doc! { "_id": id, "type": 1 }, Reason::Empty("userID")),
            ("black", doc! { "_id": id, "owner_user_id": "a" }, Reason::Empty("block_user_id")),
            (
                "friend",
                doc! { "_id": id, "owner_user_id": "a", "friend_user_id": "b", "add_source": 1_i64 << 40 },
                Reason::Field { field: "add_source", form: "a 32-bit number" },
            ),
            (
                "conversation",
                doc! {
                    "_id": id, "owner_user_id": "eve", "conversation_id": "si_a_b", "conversation_type": 1, "user_id": "b",
                },
                Reason::Participants,
            ),
        ] {
            assert_eq!(table(name).to_ours(&row), Err(reason), "{row}");
        }
        let everybody = doc! { "_id": id, "key": "k", "value": "v" };
        assert_eq!(table("config").to_ours(&everybody).unwrap().get_str("user_id").unwrap(), "");
    }
}
