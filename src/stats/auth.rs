//! Authentication (RFC 4954).

use super::Numbers;
use super::catalogue::figures;
use crate::smtp::auth::Mechanism;

figures! {
    /// Exchanges of AUTH (RFC 4954), and the mechanisms of sessions that have authenticated.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct AuthStats {
        /// Accepted exchanges: at most one in a session.
        pub succeeded: u64 = ["auth.succeeded", Number, "AUTH exchanges that were accepted"],
        /// Exchanges refused because the user, password or token is wrong, or by a rule although they are right.
        pub failed: u64 = ["auth.failed", Number, "AUTH exchanges refused for their credentials, or by a rule"],
        /// Exchanges that the client cancelled with `*`.
        pub cancelled: u64 = ["auth.cancelled", Number, "AUTH exchanges cancelled by the client"],
        /// AUTH after a successful one in the same session (RFC 4954 section 4 forbids it).
        pub again: u64 = ["auth.again", Number, "AUTH sent again after it had succeeded"],
        /// Exchanges with the user and the password or token of an earlier one that was refused with 535 (RFC 4954
        /// section 6), in the same session or another, by any mechanism that reveals them: PLAIN, LOGIN, XOAUTH2 and
        /// OAUTHBEARER.
        pub repeated: u64 = ["auth.repeated", Number, "a user and password tried again unchanged after 535"],
        /// Round trips of an exchange that was accepted or refused: one for the AUTH command, and one for each
        /// response.
        pub round_trips: Numbers = ["auth.round_trips", Number, "round trips of an AUTH exchange"],
        /// Sessions authenticated by PLAIN.
        pub plain: u64 = ["auth.plain", Number, "sessions authenticated by PLAIN"],
        /// Sessions authenticated by LOGIN.
        pub login: u64 = ["auth.login", Number, "sessions authenticated by LOGIN"],
        /// Sessions authenticated by CRAM-MD5.
        pub cram_md5: u64 = ["auth.cram_md5", Number, "sessions authenticated by CRAM-MD5"],
        /// Sessions authenticated by SCRAM-SHA-1.
        pub scram_sha_1: u64 = ["auth.scram_sha_1", Number, "sessions authenticated by SCRAM-SHA-1"],
        /// Sessions authenticated by SCRAM-SHA-256.
        pub scram_sha_256: u64 = ["auth.scram_sha_256", Number, "sessions authenticated by SCRAM-SHA-256"],
        /// Sessions authenticated by XOAUTH2.
        pub xoauth2: u64 = ["auth.xoauth2", Number, "sessions authenticated by XOAUTH2"],
        /// Sessions authenticated by OAUTHBEARER.
        pub oauthbearer: u64 = ["auth.oauthbearer", Number, "sessions authenticated by OAUTHBEARER"],
        /// Sessions authenticated by EXTERNAL.
        pub external: u64 = ["auth.external", Number, "sessions authenticated by EXTERNAL"],
        /// Sessions authenticated by ANONYMOUS.
        pub anonymous: u64 = ["auth.anonymous", Number, "sessions authenticated by ANONYMOUS"],
    }
}

impl AuthStats {
    /// Counts a session that has authenticated.
    pub(crate) fn note_success(&mut self, mechanism: Mechanism) {
        self.succeeded += 1;
        *match mechanism {
            Mechanism::Plain => &mut self.plain,
            Mechanism::Login => &mut self.login,
            Mechanism::CramMd5 => &mut self.cram_md5,
            Mechanism::ScramSha1 => &mut self.scram_sha_1,
            Mechanism::ScramSha256 => &mut self.scram_sha_256,
            Mechanism::XOAuth2 => &mut self.xoauth2,
            Mechanism::OAuthBearer => &mut self.oauthbearer,
            Mechanism::External => &mut self.external,
            Mechanism::Anonymous => &mut self.anonymous,
        } += 1;
    }
}
