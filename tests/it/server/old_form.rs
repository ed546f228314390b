//! Certificates of version 1 of X.509, which have no extensions, as `openssl x509 -req` makes them: rcgen makes none.

/// One that has signed itself.
pub(super) const SELF_SIGNED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBGDCBvwIUfuHiQPRI1M1nmn8CpwIYeW4k85wwCgYIKoZIzj0EAwIwDjEMMAoG
A1UEAwwDYW5uMCAXDTI2MTEyNzE2NDgyNVoYDzIxMjYxMTAzMTY0ODI1WjAOMQww
CgYDVQQDDANhbm4wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARgL6O0GKRS7yU9
C7gPxzjFlqWX+brZ0gV1l3HskQp8UAhmT2BgV4ywB4jh4yqXB8LArsXi+oSojY68
J/12PPuzMAoGCCqGSM49BAMCA0gAMEUCICz+cCrSs5pWX9dFStlk+uMuImpaybbK
R24/vI5aaz5DAiEAiJnSfaPHNnLTVC/PIdQxDo96Lyai4nZm9WoqMB0uJec=
-----END CERTIFICATE-----
";

/// One of another issuer.
pub(super) const OF_A_CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBGjCBwAIURsUEYbBcMyNHN7fVWq31hXXS4vIwCgYIKoZIzj0EAwIwDzENMAsG
A1UEAwwEbW9jazAgFw0yNjExMjcxNjQ4MjVaGA8yMTI2MTEwMzE2NDgyNVowDjEM
MAoGA1UEAwwDYW5uMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYC+jtBikUu8l
PQu4D8c4xZall/m62dIFdZdx7JEKfFAIZk9gYFeMsAeI4eMqlwfCwK7F4vqEqI2O
vCf9djz7szAKBggqhkjOPQQDAgNJADBGAiEA0LXjwa/HarbtZviItE01LqHO2qk9
Dv04PpmZljAY0ywCIQD0DUxn5Lvf5qb59VF4N/uEQqHi6VAWl5ZyP+yv2BXxtA==
-----END CERTIFICATE-----
";

/// The key of both.
pub(super) const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgv2xyvAPJ99FGXAsT
HMIDjrsZY11SnUXe5teQYSKwhMChRANCAARgL6O0GKRS7yU9C7gPxzjFlqWX+brZ
0gV1l3HskQp8UAhmT2BgV4ywB4jh4yqXB8LArsXi+oSojY68J/12PPuz
-----END PRIVATE KEY-----
";
