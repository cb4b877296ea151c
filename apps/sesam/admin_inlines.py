"""What is edited inside the forms of nodes and secret stores: a master's extra nodes, a store's own secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.forms import BaseInlineFormSet

from apps.access.admin_site import TabularInline
from apps.access.asked import number_of
from apps.access.levels import Level
from apps.access.permissions import level_of, subjects_visible
from apps.repos.models import Repository
from apps.sesam.models import ExtraNode, Layout, Node, StoredSecret

if TYPE_CHECKING:
    from django.http import HttpRequest


class NamedInline(TabularInline):
    """A table whose fields have their column's name for those who do not see it."""

    extra = 0
    tab = False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            inner = getattr(field.widget, "widget", field.widget)
            inner.attrs["aria-label"] = str(field.label)
        return field


class ExtraNodeForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """What is wrong with the master is told on the line, not on a field that nobody sees."""

    person: Any = None  # who edits

    class Meta:
        model = ExtraNode
        fields = ("name", "template_path", "proxy", "repository", "branch", "node")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.master.layout != Layout.MULTI:
            self.add_error(None, "Only a node with the multi-node layout has extra nodes.")
        if {"repository", "branch", "node"} & set(self.changed_data) and (wrong := self._aimed(cleaned)):
            self.add_error(None, wrong)
        return cleaned

    def _aimed(self, cleaned: dict[str, Any]) -> str:
        """What is chosen already may stay, but leads nowhere else by somebody who could not have chosen it."""
        target = cleaned.get("repository") or cleaned.get("node")
        if target is None:
            return ""
        if level_of(self.person, target) < Level.CONFIGURE:
            return f"Only who may configure {target} changes what is sent there."
        if isinstance(target, Node) and target.secret_store_id and not self.person.has_perm("sesam.change_secretstore"):
            return f"{target} uses a secret store: only who may change secret stores lets a master say what for."
        return ""


class ExtraNodeFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # generic only in the stubs
    """Its forms see the master as it is about to be saved, and who saves it."""

    person: Any = None

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]  # the stubs leave it out
        form.instance.master, form.person = self.instance, self.person
        return form


class ExtraNodeInline(NamedInline):
    """A master's extra nodes. Who configures the master chooses among what they may configure besides."""

    model = ExtraNode
    form = ExtraNodeForm
    formset = ExtraNodeFormSet
    fk_name = "master"
    fields = ("name", "template_path", "proxy", "repository", "branch", "node")
    verbose_name = "extra node"
    verbose_name_plural = "Extra nodes (multi-node masters only)"

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        nodes = admin.site.get_model_admin(Node)
        # Without a node it is asked about rows of any master, by those who may configure one and make none.
        return nodes.has_change_permission(request, obj) or (obj is None and nodes.has_add_permission(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.person = request.user
        return formset

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A share is pushed to the repository, or becomes the node's configuration: only for who may configure it."""
        number = getattr(request.resolver_match, "kwargs", {}).get("object_id", "")
        held = ExtraNode.objects.filter(master_id=number_of(number) or 0).values(db_field.name)
        mine = Q(pk__in=subjects_visible(request.user, db_field.name, Level.CONFIGURE).values("pk"))
        if db_field.name == "node":
            kwargs["queryset"] = Node.objects.filter(mine & Q(repository=None) | Q(pk__in=held))
        else:
            kwargs["queryset"] = Repository.objects.filter(mine | Q(pk__in=held))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class StoredSecretInline(NamedInline):
    """The secrets of a store of the panel's own: written here, never shown."""

    model = StoredSecret
    fields = ("name", "value")
    verbose_name = "secret"
    verbose_name_plural = "Secrets (stores of this panel only)"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("sesam.change_secretstore"))

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission
