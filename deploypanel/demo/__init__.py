"""A small fleet to try the panel with: three SSH servers on this machine, two environments, three Sesam nodes,
an agent and two triggers.

hosts.py    the SSH servers, their keys and folders
sesam.py    the Sesam nodes, and what their repository holds
agent.py    the agent's program, and its enrolment
shop.py     the Git repositories and working clones to push from
rows.py     what is declared to the panel, through the same door as `manage.py apply`
demo.py     all of it: load, start, status

Nothing is simulated: deployments to it take the path that deployments to a real fleet take.
"""
