"""The kinds of transfer. `local` copies within one machine; rsync over SSH comes beside it, under the same agent."""
