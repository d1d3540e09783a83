"""Runs that another process trains: watched and commanded through files in the run folder.

trainer.json     written by the process that trains: who it is, whether it is paused
commands.jsonl   written by any process: run, pause, step, stop, pins and bans, a JSON line each
watch-ID.json    written by a viewer, touched every second: what it shows of the run
frame-ID-KIND    written by the trainer for that viewer, which deletes it once it is read: the open
                 layer, samples of the listed layers, or the weights of the pinned blocks

Over ssh, ``lbc follow`` (``server``) is such a viewer, and sends what it sees to a mirror in the
user's cache folder, which the window follows like any other run.

Commands and requests name the ``token`` of the training process they are for; a process ignores
all others. Nothing listens on a port. None of these files is needed to read or resume the run.
"""
