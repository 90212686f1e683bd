"""Who may do what: tokens, and what they allow."""
