"""What is wrong with this installation, each with its remedy.

finding.py     one thing that is wrong
machine.py     programs, data folder, disk
database.py    reachable, migrated, its mode and clock; secrets that no key opens
settings.py    what an operator has set
processes.py   clock, workers, queue
subjects.py    repositories, hosts, environments
agents.py      agents that are away while work waits for them
examine.py     all of it in order
"""
