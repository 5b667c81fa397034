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
    AccountIdOrName: "Account ID, or part of the name", "账号 ID 或名称的一部分";
    Action: "Action", "操作";
    ActionContinues: "the action continues", "操作继续";
    ActionFails: "the action fails", "操作失败";
    Announcement: "Announcement", "群公告";
    AsOf: "as of", "截至";
    BackToOverview: "Back to the overview", "返回概览";
    Background: "In background", "后台运行";
    Ban: "Ban", "封禁用户";
    BannedUsers: "Banned users", "已封禁的用户";
    Blockers: "Blockers", "阻碍因素";
    Broadcast: "Broadcast", "群发";
    BroadcastAfter: "Last user ID reached (start after it)", "最后到达的用户 ID（从其后开始）";
    BroadcastFailed: "Interrupted: the services did not answer. Continue with the same broadcast ID after the last user ID.", "已中断：服务未响应。请使用相同的群发 ID 从最后到达的用户 ID 之后继续。";
    BroadcastId: "Broadcast ID (repeat it to continue: nobody receives it twice)", "群发 ID（使用相同 ID 可继续，不会重复发送）";
    BroadcastSending: "Sending", "正在发送";
    BroadcastSent: "Sent to all users", "已发送给所有用户";
    BroadcastStopped: "Stopped", "已停止";
    ClientLogs: "Client logs", "客户端日志";
    Cluster: "Cluster", "集群";
    ClusterOff: "The page about the cluster is off. It needs this setting and a service account:", "集群页面未启用，需要以下配置和服务账号：";
    Component: "Component", "组件";
    Condition: "Condition", "条件";
    Conditions: "Conditions", "状况";
    Connection: "Connection", "连接";
    Connections: "Connections", "连接数";
    Conversation: "Conversation", "会话";
    Conversations: "Conversations", "会话列表";
    CreateAccount: "Create notification account", "创建通知账号";
    Created: "Created", "创建时间";
    DailyLimit: "Limit per day", "每日上限";
    DayAfter: "Next day", "后一天";
    DayBefore: "Day before", "前一天";
    Days: "Days", "日期";
    Delay: "Delivery, 99 of 100 messages", "送达时间（99% 的消息）";
    DeleteFile: "Delete file", "删除文件";
    DeleteLog: "Delete entry", "删除记录";
    DeliveredLater: "delivered later", "稍后送达";
    Devices: "Open connections", "当前连接";
    Dismiss: "Dismiss group", "解散群组";
    DoneAccountCreated: "The notification account has been created.", "通知账号已创建。";
    DoneBanned: "The user is banned and has been logged out.", "用户已被封禁并已下线。";
    DoneBroadcastBegun: "The broadcast has started. Refresh to see its progress.", "群发已开始，刷新可查看进度。";
    DoneBroadcastStopping: "The broadcast stops after the current users.", "群发将在当前批次之后停止。";
    DoneDismissed: "The group has been dismissed.", "群组已解散。";
    DoneErased: "Erasure has begun. It continues in the background.", "清除已开始，将在后台继续。";
    DoneFileDeleted: "The file has been deleted.", "文件已删除。";
    DoneForcedOut: "The user has been logged out.", "用户已被强制下线。";
    DoneGroupMuted: "The group is muted.", "群组已全员禁言。";
    DoneGroupUnmuted: "All members can write again.", "群组已解除全员禁言。";
    DoneLogDeleted: "The entry has been deleted; the file stays where the client put it.", "记录已删除；文件仍保留在客户端上传的位置。";
    DoneMemberMuted: "The member is muted.", "成员已被禁言。";
    DoneMemberRemoved: "The member has been removed.", "成员已被移出群组。";
    DoneMemberUnmuted: "The member can write again.", "成员已解除禁言。";
    DoneNameDeleted: "The file has been deleted here; other users have the same file and keep it.", "文件已从此处删除；其他用户的相同文件仍保留。";
    DoneNotified: "The notification has been sent.", "通知已发送。";
    DoneReplayed: "They are retried within seconds.", "将在数秒内重试。";
    DoneRevoked: "The message has been revoked.", "消息已撤回。";
    DoneSignedOut: "You have signed out.", "您已退出登录。";
    DoneUnbanned: "The user can log in again.", "用户已解除封禁。";
    Empty: "None.", "无。";
    Erase: "Erase permanently", "永久清除用户";
    EraseIsFinal: "All data of the user is deleted. This cannot be undone.", "该用户的全部数据将被删除，无法恢复。";
    ErasedUsers: "Erased users", "已清除的用户";
    ExportFirst: "To keep a copy, first run", "如需保留副本，请先运行";
    External: "external", "外部";
    Extra: "Extra", "扩展信息";
    Failed: "The action failed.", "操作未成功。";
    Failures: "Failures", "失败总数";
    FailuresPerSecond: "Failures per second", "每秒失败数";
    File: "File", "文件";
    Files: "Files", "文件列表";
    FindInThese: "Text in these messages", "在本页消息中查找";
    FirstPage: "First page", "首页";
    ForceOut: "Log out everywhere", "强制下线（全部平台）";
    ForceOutPlatform: "Log out of this platform", "强制下线此平台";
    Foreground: "Active", "活跃";
    Gate: "Gate", "关卡";
    GatewaysSilent: "Some gateways did not answer: connections may be missing here.", "部分网关未响应：此处的连接可能不完整。";
    Generation: "Generation", "版本代次";
    Group: "Group", "群组";
    GroupId: "Group ID", "群组 ID";
    GroupIdBegins: "Group ID begins with", "群组 ID 开头";
    Groups: "Groups", "群组";
    History: "History", "历史";
    Hook: "Hook", "回调";
    HooksDelivered: "Delivered", "已送达";
    HooksGivenUp: "Given up", "已放弃";
    HooksLost: "Some webhooks were given up: the receiver will not get them. The audit log names them.", "部分回调已放弃，接收方不会再收到。审计日志中有记录。";
    HooksOn: "Enabled hooks", "已启用的回调";
    HooksRetried: "Retried", "已重试";
    HooksSetAside: "Set aside", "已搁置";
    HowLong: "Duration", "时长";
    IdOrNone: "User ID (empty: chosen by the server)", "用户 ID（留空由服务器分配）";
    Ill: "not well", "异常";
    Introduction: "Introduction", "群介绍";
    Joined: "Joined", "加入时间";
    KindFile: "File", "文件";
    KindOther: "Type", "类型";
    KindPicture: "Picture", "图片";
    KindRevoked: "Revoked", "已撤回";
    KindSound: "Sound", "语音";
    KindVideo: "Video", "视频";
    Lag: "Records waiting in Kafka", "Kafka 积压记录数";
    LastBackup: "Last backup", "最近备份";
    LiveNow: "This page reloads every 15 seconds. That does not keep your session open.", "此页面每 15 秒刷新一次，不会延长您的登录会话。";
    LiveOff: "Stop reloading", "停止自动刷新";
    LiveOn: "Reload every 15 seconds", "每 15 秒自动刷新";
    Managed: "managed", "托管";
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
    NextAttempt: "Next attempt", "下次重试";
    NextPage: "Next page", "下一页";
    Nickname: "Nickname", "昵称";
    NoLimit: "no limit", "无限制";
    NoNumbersYet: "No numbers yet: reload in a moment.", "暂无数据：请稍后刷新。";
    NotConnected: "Not connected.", "当前无连接。";
    NotDone: "Not done", "未完成";
    NotFound: "There is no such page.", "页面不存在。";
    NotSent: "Refused", "被拒绝";
    NothingFound: "Nothing found.", "未找到任何内容。";
    NotificationContent: "Text", "内容";
    NotificationLink: "Link (optional)", "链接（可选）";
    Notifications: "Notifications", "通知";
    Older: "Older", "较早";
    OlderTemplates: "Pods of older templates, replaced with their next change", "使用旧模板的组件（下次变更时替换）";
    OneDay: "1 day", "1 天";
    OneHour: "1 hour", "1 小时";
    OperationId: "Operation ID", "操作 ID";
    Overview: "Overview", "概览";
    Owner: "Owner", "群主";
    Pages: "Pages", "分页";
    PasswordOrSecret: "Password or API secret", "密码或 API 密钥";
    Plan: "Plan", "计划";
    PlanId: "Plan ID", "计划 ID";
    Platform: "Platform", "平台";
    Pods: "Pods", "Pod 数量";
    Portrait: "Portrait", "头像地址";
    Purpose: "Purpose", "用途";
    Reason: "Reason (for the audit log)", "原因（记入审计日志）";
    Receivers: "Receivers: up to 100 user IDs", "接收者：最多 100 个用户 ID";
    Refresh: "Refresh", "刷新";
    RefusedForm: "The form is not from this session. Go back, reload the page and try again.", "表单不属于当前会话。请返回并刷新页面后重试。";
    RefusedRole: "Your role does not permit this.", "您的角色无权执行此操作。";
    Registered: "Registered", "注册时间";
    RemoveMember: "Remove from group", "移出群组";
    Replay: "Try again now", "立即重试";
    ReplayAll: "Try all of this page again now", "立即重试本页全部";
    Revoke: "Revoke", "撤回";
    Role: "Role", "角色";
    RoleAdministrator: "Administrator", "管理员";
    RoleReadOnly: "Read only", "只读";
    RoleSupport: "Support", "客服";
    Search: "Search", "搜索";
    SecretRotation: "Secret rotation", "密钥轮换";
    Sections: "Sections", "栏目";
    SeenBy: "As this user sees it", "以此用户的视角";
    SendToAll: "Send to all users", "发送给所有用户";
    SendToSome: "Send to some users", "发送给部分用户";
    Sender: "Sender", "发送者";
    Sent: "Sent", "已发送";
    Seq: "Seq", "序号";
    Servers: "Servers", "服务器";
    Services: "Services", "服务";
    SignIn: "Sign in", "登录";
    SignInWith: "Sign in with", "登录方式";
    SignOut: "Sign out", "退出登录";
    SilentProcesses: "Processes that did not answer", "未响应的进程";
    Since: "Since", "自";
    SinceProcesses: "Counted since each process started", "自各进程启动以来的统计";
    Size: "Size", "大小";
    SkipToContent: "Skip to content", "跳到正文";
    SpecNotSeen: "The operator has not seen the newer spec yet.", "Operator 尚未处理最新配置。";
    State: "State", "状态";
    StateAdministrator: "IM administrator", "IM 管理员";
    StateBanned: "Banned", "已封禁";
    StateDismissed: "Dismissed", "已解散";
    StateMuted: "Muted", "全员禁言中";
    StateNotifications: "Notification account", "通知账号";
    StateOrdinary: "Normal", "正常";
    StateRobot: "Robot", "机器人";
    StopBroadcast: "Stop the broadcast", "停止群发";
    StoredPerSecond: "Stored per second", "每秒存储数";
    SumsOf: "Processes counted", "统计的进程数";
    TenMinutes: "10 minutes", "10 分钟";
    ThirtyDays: "30 days", "30 天";
    Time: "Time", "时间";
    Timeout: "Timeout", "超时时间";
    TooManyTries: "Too many attempts. Wait some minutes and try again.", "尝试次数过多，请几分钟后再试。";
    Type: "Type", "类型";
    TypeUserId: "Type the user ID to confirm", "输入用户 ID 以确认";
    Unanswered: "Without an answer", "无应答时";
    Unban: "Lift ban", "解除封禁";
    UnmuteGroup: "Let all members write", "解除全员禁言";
    UnmuteMember: "Unmute", "解除禁言";
    Updated: "updated", "已更新";
    UploadedToday: "Uploaded today (UTC)", "今日上传（UTC）";
    User: "User", "用户";
    UserId: "User ID", "用户 ID";
    UserIdBegins: "User ID begins with", "用户 ID 开头";
    UserOrFile: "User ID or file name contains", "用户 ID 或文件名包含";
    Users: "Users", "用户";
    UsersOnline: "Users online", "在线用户";
    Version: "Version", "版本";
    Webhooks: "Webhooks", "回调通知";
    Well: "well", "正常";
    Why: "Reason", "原因";
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
