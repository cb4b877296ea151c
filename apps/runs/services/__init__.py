"""Every act on runs."""

from __future__ import annotations

from apps.runs.services.automatic import paused_now, run_coalesced, subject_held
from apps.runs.services.begin import runs_begin
from apps.runs.services.chores import run_advance_waiting, runs_ask_again, runs_prune, runs_ring_queued
from apps.runs.services.end import RunEnd, runs_end
from apps.runs.services.move import run_move
from apps.runs.services.reap import runs_leftovers_kill, runs_reap
from apps.runs.services.request import run_active_on, run_request, runs_request_remote
from apps.runs.services.settle import run_clean_up, run_settle, runs_settle_due
from apps.runs.services.start import run_claim, run_start
from apps.runs.services.stop import run_stop

__all__ = [
    "RunEnd",
    "paused_now",
    "run_active_on",
    "run_advance_waiting",
    "run_claim",
    "run_clean_up",
    "run_coalesced",
    "run_move",
    "run_request",
    "run_settle",
    "run_start",
    "run_stop",
    "runs_ask_again",
    "runs_begin",
    "runs_end",
    "runs_leftovers_kill",
    "runs_prune",
    "runs_reap",
    "runs_request_remote",
    "runs_ring_queued",
    "runs_settle_due",
    "subject_held",
]
