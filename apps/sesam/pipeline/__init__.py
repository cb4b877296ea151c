"""What a sync does, step by step, in its run.

sync, restore, look   a run of each kind, from its first step to its last
gitside               what Git wants: fetch, source, expansion, verification
compare               what the node has, the plan, the guard's questions
apply                 snapshot, and the writes in their order
read_back             whether the node has what was sent
undone                the undo when one of them fails, and what is said of it
outcome               the node's state after the run
extras                what the master feeds: repositories and nodes
stages                the names of the steps
"""
