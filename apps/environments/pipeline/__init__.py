"""How a commit gets onto hosts: what the kinds of runs in `kinds.py` do, step by step.

plan.py     what is to be done, and where
build.py    the commit as a tree on the panel's machine, with its scripts run
fleet.py    one job per host, many at once; a host that fails, fails alone
channel.py  what OpenSSH needs so that rsync can use it
hosts.py    what is done on one host
scripts.py  the shell scripts for that
deploy.py, rollback.py, preview.py, clean_up.py   the order of it all
script.py, script_steps.py, script_files.py   a build script on hosts, for triggers
"""
