"""Ray jobs over everything: a package for each job, and what they share.

No HTTP, and nothing of the stack: a job also runs on a cluster that `semblance up` did not start.
"""
