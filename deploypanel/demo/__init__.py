"""A small fleet to try the panel with: three SSH servers on this machine, a repository, two environments.

hosts.py    the SSH servers, their keys and folders
shop.py     the Git repository and a working clone to push from
rows.py     what is declared to the panel, through the same door as `manage.py apply`
demo.py     all of it: load, start, status

Nothing is simulated: deployments to it take the path that deployments to a real fleet take.
"""
