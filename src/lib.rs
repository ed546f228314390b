//! smtpmock: a mock SMTP server.
