"""An ordered, replicated log shared by nodes. It knows nothing of caching."""
