//! What administrators see of object storage and of hooks that were set aside.

use protocol::{
    ErrorCode,
    extension::{DeleteObjectReq, ListHooksReq, ListObjectsReq, ReplayHooksReq},
    internal::caller::Kind,
};
use rpc::Context;
use store::{
    DateTime,
    jobs::{Job, Jobs},
    objects::Object,
};

use crate::{handlers::world, mutants::in_jumping_time};
use testkit::{Handler, user_context};

fn admin() -> Context {
    Context::new(Kind::Admin, "imAdmin", 10, "test")
}

fn object(user: &str, name: &str, key: &str) -> Object {
    Object {
        name: name.into(),
        user_id: user.into(),
        hash: String::new(),
        key: key.into(),
        size: 7,
        content_type: "image/png".into(),
        group: "msg-picture".into(),
        create_time: DateTime::from_millis(5),
    }
}

#[test]
fn the_files_of_a_user_are_listed_by_name_and_deleted_by_administrators() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Third]).await;
        let store = world.calm_store();
        for (user, name, key) in [
            ("ann", "ann/a.png", "1"),
            ("ann", "ann/b.png", "2"),
            ("ann", "ann/c.png", "3"),
            ("annex", "annex/d.png", "2"),
        ] {
            store.put_object(&object(user, name, key)).await.unwrap();
        }
        let list = |after: &str| ListObjectsReq { user_id: "ann".into(), after_name: after.into(), limit: 2 };
        let names = async |after: &str| {
            let listed = world.call(&admin(), &list(after)).await.unwrap();
            listed.objects.into_iter().map(|object| object.name).collect::<Vec<_>>()
        };
        assert_eq!(names("").await, ["ann/a.png", "ann/b.png"]);
        assert_eq!(names("ann/b.png").await, ["ann/c.png"]);
        let delete = |name: &str| DeleteObjectReq { name: name.into() };
        let ann = user_context("ann");
        let refused = world.call(&ann, &delete("ann/b.png")).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NoPermission);
        assert_eq!(world.call(&ann, &list("")).await.unwrap_err().code, ErrorCode::NoPermission);
        assert!(world.call(&admin(), &delete("ann/b.png")).await.unwrap().is_shared, "annex has it too");
        assert_eq!(names("").await, ["ann/a.png", "ann/c.png"]);
        let gone = world.call(&admin(), &delete("ann/b.png")).await.unwrap_err();
        assert_eq!(gone.code, ErrorCode::RecordNotFound);
        assert!(store.object("annex/d.png").await.unwrap().is_some());
    });
}

#[test]
fn hooks_that_were_set_aside_are_listed_by_id_and_due_when_an_administrator_says_so() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Third]).await;
        let store = world.calm_store();
        let later = 4_000_000_000_000;
        let job = |id: &str, kind: &str| Job {
            id: id.into(),
            kind: kind.into(),
            payload:
                br#"{"hook":"afterAddFriend","operation_id":"o","query":"","body":"{}","since":5,"key":"k"}"#
                    .to_vec(),
            free_ms: later,
            made_ms: 5,
        };
        let jobs = [
            job("hook/afterAddFriend/1", "hook"),
            job("hook/afterAddFriend/2", "hook"),
            job("other/1", "other"),
        ];
        store.put(&jobs).await.unwrap();
        let list = |after: &str| ListHooksReq { after_id: after.into(), limit: 10 };
        let ids = async |after: &str| {
            let listed = world.call(&admin(), &list(after)).await.unwrap();
            listed.hooks.into_iter().map(|hook| (hook.id, hook.next_time < later)).collect::<Vec<_>>()
        };
        let both = [("hook/afterAddFriend/1".to_owned(), false), ("hook/afterAddFriend/2".to_owned(), false)];
        assert_eq!(ids("").await, both);
        assert_eq!(ids("hook/afterAddFriend/1").await, both[1..]);
        let replay = |ids: &[&str]| ReplayHooksReq { ids: ids.iter().map(|id| (*id).to_owned()).collect() };
        for wrong in [&[][..], &["other/1"]] {
            assert_eq!(world.call(&admin(), &replay(wrong)).await.unwrap_err().code, ErrorCode::Args);
        }
        let one = replay(&["hook/afterAddFriend/2"]);
        assert_eq!(world.call(&user_context("ann"), &one).await.unwrap_err().code, ErrorCode::NoPermission);
        world.call(&admin(), &one).await.unwrap();
        assert_eq!(ids("").await, [both[0].clone(), (both[1].0.clone(), true)]);
    });
}
