//! All texts of the console, in every language. A text without one of them does not compile; one that no page has is reported as unused.

use crate::language::Language;

macro_rules! texts {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// A text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Text { $($name,)* }

        impl Text {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text in a language.
            pub(crate) const fn of(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$name, Language::English) => $english, (Self::$name, Language::Chinese) => $chinese,)*
                }
            }
        }
    };
}

texts! {
    Action: "Action", "操作";
    Announcement: "Announcement", "群公告";
    AsOf: "as of", "截至";
    BackToOverview: "Back to the overview", "返回概览";
    Background: "In background", "后台运行";
    Ban: "Ban", "封禁用户";
    ClientLogs: "Client logs", "客户端日志";
    Connection: "Connection", "连接";
    Connections: "Connections", "连接数";
    Conversation: "Conversation", "会话";
    Conversations: "Conversations", "会话列表";
    Created: "Created", "创建时间";
    DayAfter: "Next day", "后一天";
    DayBefore: "Day before", "前一天";
    Days: "Days", "日期";
    DeleteLog: "Delete entry", "删除记录";
    Devices: "Open connections", "当前连接";
    Dismiss: "Dismiss group", "解散群组";
    DoneBanned: "The user is banned and has been logged out.", "用户已被封禁并已下线。";
    DoneDismissed: "The group has been dismissed.", "群组已解散。";
    DoneForcedOut: "The user has been forced out.", "用户已被强制下线。";
    DoneGroupMuted: "The group is muted.", "群组已全员禁言。";
    DoneGroupUnmuted: "All members may write again.", "群组已解除全员禁言。";
    DoneLogDeleted: "The entry has been deleted; the file stays where the client put it.", "记录已删除；文件仍保留在客户端上传的位置。";
    DoneMemberMuted: "The member is muted.", "成员已被禁言。";
    DoneMemberRemoved: "The member has been removed.", "成员已被移出群组。";
    DoneMemberUnmuted: "The member may write again.", "成员已解除禁言。";
    DoneRevoked: "The message has been revoked.", "消息已撤回。";
    DoneSignedOut: "You have signed out.", "您已退出登录。";
    DoneUnbanned: "The user may log in again.", "用户已解除封禁。";
    Extra: "Extra", "扩展信息";
    Failed: "This did not work.", "操作未成功。";
    Failures: "Failures", "失败总数";
    FailuresPerSecond: "Failures per second", "每秒失败数";
    File: "File", "文件";
    FindInThese: "Text in these messages", "在本页消息中查找";
    FirstPage: "First page", "首页";
    ForceOut: "Force out everywhere", "强制下线（全部平台）";
    ForceOutPlatform: "Force out of this platform", "强制下线此平台";
    Foreground: "Active", "活跃";
    GatewaysSilent: "Some gateways did not answer: connections may be missing here.", "部分网关未响应：此处的连接可能不完整。";
    Group: "Group", "群组";
    GroupId: "Group ID", "群组 ID";
    GroupIdBegins: "Group ID begins with", "群组 ID 开头";
    Groups: "Groups", "群组";
    HowLong: "Duration", "时长";
    Introduction: "Introduction", "群介绍";
    Joined: "Joined", "加入时间";
    KindFile: "File", "文件";
    KindOther: "Type", "类型";
    KindPicture: "Picture", "图片";
    KindRevoked: "Revoked", "已撤回";
    KindSound: "Sound", "语音";
    KindVideo: "Video", "视频";
    Member: "Member", "普通成员";
    Members: "Members", "成员";
    Message: "Message", "消息";
    Messages: "Messages", "消息列表";
    MessagesAccepted: "Messages accepted", "已接收消息";
    MessagesAsOwner: "Messages, as the owner sees them", "以群主身份查看消息";
    MessagesPerSecond: "Messages per second", "每秒消息数";
    MessagesStored: "Messages stored", "已存储消息";
    MuteGroup: "Mute group", "全员禁言";
    MuteMember: "Mute", "禁言";
    MutedUntil: "Muted until", "禁言至";
    Name: "Name", "名称";
    NameOrId: "Name or user ID", "账号或用户 ID";
    Newer: "Newer", "较新";
    NextPage: "Next page", "下一页";
    Nickname: "Nickname", "昵称";
    NoNumbersYet: "No numbers yet: reload in a moment.", "暂无数据：请稍后刷新。";
    NotConnected: "Not connected.", "当前无连接。";
    NotDone: "Not done", "未完成";
    NotFound: "There is no such page.", "页面不存在。";
    NothingFound: "Nothing found.", "未找到任何内容。";
    Older: "Older", "较早";
    OneDay: "1 day", "1 天";
    OneHour: "1 hour", "1 小时";
    OperationId: "Operation ID", "操作 ID";
    Overview: "Overview", "概览";
    Owner: "Owner", "群主";
    Pages: "Pages", "分页";
    PasswordOrSecret: "Password or API secret", "密码或 API 密钥";
    Platform: "Platform", "平台";
    Portrait: "Portrait", "头像地址";
    Reason: "Reason (for the audit log)", "原因（记入审计日志）";
    Refresh: "Refresh", "刷新";
    RefusedForm: "The form is not from this session. Go back, reload the page and try again.", "表单不属于当前会话。请返回并刷新页面后重试。";
    RefusedRole: "Your role does not permit this.", "您的角色无权执行此操作。";
    Registered: "Registered", "注册时间";
    RemoveMember: "Remove from group", "移出群组";
    Revoke: "Revoke", "撤回";
    Role: "Role", "角色";
    RoleAdministrator: "Administrator", "管理员";
    RoleReadOnly: "Read only", "只读";
    RoleSupport: "Support", "客服";
    Search: "Search", "搜索";
    Sections: "Sections", "栏目";
    SeenBy: "As this user sees it", "以此用户的视角";
    Sender: "Sender", "发送者";
    Seq: "Seq", "序号";
    SignIn: "Sign in", "登录";
    SignInWith: "Sign in with", "登录方式";
    SignOut: "Sign out", "退出登录";
    SilentProcesses: "Processes that did not answer", "未响应的进程";
    SkipToContent: "Skip to content", "跳到正文";
    State: "State", "状态";
    StateAdministrator: "IM administrator", "IM 管理员";
    StateBanned: "Banned", "已封禁";
    StateDismissed: "Dismissed", "已解散";
    StateMuted: "Muted", "全员禁言中";
    StateNotifications: "Notification account", "通知账号";
    StateOrdinary: "Normal", "正常";
    StateRobot: "Robot", "机器人";
    StoredPerSecond: "Stored per second", "每秒存储数";
    SumsOf: "Processes counted", "统计的进程数";
    TenMinutes: "10 minutes", "10 分钟";
    ThirtyDays: "30 days", "30 天";
    Time: "Time", "时间";
    TooManyTries: "Too many attempts. Wait some minutes and try again.", "尝试次数过多，请几分钟后再试。";
    Unban: "Lift ban", "解除封禁";
    UnmuteGroup: "Let all members write", "解除全员禁言";
    UnmuteMember: "Unmute", "解除禁言";
    User: "User", "用户";
    UserId: "User ID", "用户 ID";
    UserIdBegins: "User ID begins with", "用户 ID 开头";
    UserOrFile: "User ID or file name contains", "用户 ID 或文件名包含";
    Users: "Users", "用户";
    UsersOnline: "Users online", "在线用户";
    Version: "Version", "版本";
    With: "With", "对方";
    WithAccount: "an administrator's account", "管理员账号";
    WithSecret: "the user ID of an IM administrator and the API secret", "IM 管理员用户 ID 和 API 密钥";
    WrongSecret: "The name, the password or the secret is wrong.", "账号、密码或密钥错误。";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages() {
        let is_chinese = |letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter);
        for text in Text::ALL {
            let (english, chinese) = (text.of(Language::English), text.of(Language::Chinese));
            assert!(english.is_ascii() && !english.trim().is_empty(), "{text:?}: {english}");
            assert!(chinese.contains(is_chinese), "{text:?} is not translated: {chinese}");
            assert!(
                !chinese.contains([',', ';', ':', '(', ')']),
                "{text:?} has punctuation of another script: {chinese}"
            );
            assert_eq!(english.ends_with('.'), chinese.ends_with('。'), "{text:?}");
        }
        assert!(Text::ALL.len() > 100);
    }
}
