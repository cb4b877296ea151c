"""What the form of the sign-in page does besides: it stops those who guess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from apps.access.address import address_of
from apps.access.errors import SignInBlocked
from apps.access.services.sign_ins import sign_in_succeed, sign_in_try

if TYPE_CHECKING:
    from django.contrib.auth.forms import AuthenticationForm as Base
else:
    Base = object


class SignInsCounted(Base):
    """Mixed into the theme's form. `retry_after`: seconds, when it was stopped."""

    retry_after = 0

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        if not name or not self.cleaned_data.get("password"):
            return super().clean()  # incomplete: no password is looked at
        address = address_of(self.request) if self.request else ""
        try:
            sign_in_try(name=name, address=address)
        except SignInBlocked as blocked:
            self.retry_after = blocked.retry_after
            raise ValidationError(str(blocked), code="blocked") from None
        cleaned = super().clean()  # raises where name or password is wrong, and the try stays counted
        sign_in_succeed(name=name, address=address)
        return cleaned
