"""What a sync does, step by step, in its run.

sync, restore, look   a run of each kind, from its first step to its last
gitside               what Git wants: fetch, source, expansion, verification
compare               what the node has, the plan, the guard's questions
apply                 snapshot, writes in their order, reading back; and the undo when one fails
extras                what the master feeds: repositories and nodes
stages                the names of the steps
"""
