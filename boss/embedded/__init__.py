"""The processes that an embedded boss starts for itself: how any child is started and ended, and the broker."""
