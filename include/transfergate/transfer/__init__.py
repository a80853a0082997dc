"""Pre-training, both arms of the comparison, their audits, and weights on disk."""
