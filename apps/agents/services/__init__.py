"""Every act on agents."""

from __future__ import annotations

from apps.agents.services.enrol import Enrolled, agent_code_issue, agent_create, agent_enrol, agent_revoke

__all__ = ["Enrolled", "agent_code_issue", "agent_create", "agent_enrol", "agent_revoke"]
