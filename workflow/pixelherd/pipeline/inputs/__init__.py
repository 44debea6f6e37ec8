"""What each stage reads: functions of what a study has still to do, and of the run, round or shard of a job.

They return what a rule's `input` takes: a path, a list of paths, or a mapping of names to either.
"""
