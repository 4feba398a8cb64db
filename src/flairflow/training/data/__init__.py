"""What training reads: prepared scans, patches of them, their random changes, and what a loss compares with."""
