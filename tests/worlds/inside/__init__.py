"""What tests put inside real programs without those knowing: a crash at one exact place, a worker reached by SSH."""
