"""Providers: what starts and ends instances. Each knows one way; none knows why it is asked."""
