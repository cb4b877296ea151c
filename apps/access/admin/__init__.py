"""The admin of who may, and when: one file per subject matter."""

from __future__ import annotations

from apps.access.admin.freezes import FreezeAdmin
from apps.access.admin.hours import BusinessHoursAdmin
from apps.access.admin.keys import SshKeyAdmin
from apps.access.admin.people import GroupAdmin, UserAdmin
from apps.access.admin.tokens import ApiTokenAdmin
from apps.access.admin.trail import AuditEntryAdmin

__all__ = [
    "ApiTokenAdmin",
    "AuditEntryAdmin",
    "BusinessHoursAdmin",
    "FreezeAdmin",
    "GroupAdmin",
    "SshKeyAdmin",
    "UserAdmin",
]
