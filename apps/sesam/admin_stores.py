"""Secret stores in the admin: for who has Django's own permission on them. A store's name leads to its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Count
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html

from apps.access.admin_site import ModelAdmin
from apps.sesam import store_pages
from apps.sesam.admin_inlines import StoredSecretInline
from apps.sesam.forms import SecretStoreForm
from apps.sesam.models import SecretStore

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


@admin.register(SecretStore)
class SecretStoreAdmin(ModelAdmin):
    nothing_yet = "A store has the secrets that nodes use: Vault, or the panel itself."
    form = SecretStoreForm
    inlines = (StoredSecretInline,)
    list_display = ("store", "kind", "where", "auth_words", "nodes_total", "configure")
    list_display_links = None
    list_filter = ("kind", "auth")
    search_fields = ("name", "url", "mount")
    search_help_text = "Name, URL or mount"
    ordering = ("name",)
    show_full_result_count = True
    fieldsets: ClassVar = (
        (
            None,
            {
                "fields": ("name", "kind"),
                "description": "Values are read for one run, held in memory, and never stored or logged. A store of "
                "this panel keeps them encrypted at the bottom of this page.",
            },
        ),
        (
            "Vault",
            {"fields": ("url", "kv_version", "mount", "path_prefix", "field", "namespace", "ca_bundle")},
        ),
        (
            "Log-in to Vault",
            {
                "fields": ("auth", "auth_mount", "token", "role_id", "secret_id"),
                "description": "At another URL they are asked for anew, so that nobody sends them elsewhere. Save, and "
                "test the log-in on the page that follows.",
            },
        ),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "ca_bundle":
            field.widget.attrs["rows"] = 3
        if db_field.name == "secret_id":
            field.label = "Secret ID"
        return field

    def get_queryset(self, request: HttpRequest) -> QuerySet[SecretStore]:
        rows: QuerySet[SecretStore] = super().get_queryset(request)
        return rows.annotate(used_by=Count("nodes", distinct=True))

    @admin.display(description="Store", ordering="name")
    def store(self, row: SecretStore) -> str:
        address = store_pages.page_url(row)
        return format_html('<a class="dp-link dp-link-strong dp-nowrap" href="{}">{}</a>', address, row.name)

    @admin.display(description="Where")
    def where(self, row: SecretStore) -> str:
        if row.kind == SecretStore.Kind.PANEL:
            return "encrypted in the panel's database"
        return format_html('<code class="dp-muted">{} {}/{}</code>', row.url, row.mount.strip("/"), row.path_prefix)

    @admin.display(description="Log-in", ordering="auth")
    def auth_words(self, row: SecretStore) -> str:
        return "" if row.kind == SecretStore.Kind.PANEL else row.get_auth_display()

    @admin.display(description="Nodes")
    def nodes_total(self, row: SecretStore) -> str:
        return str(getattr(row, "used_by", ""))

    @admin.display(description="")
    def configure(self, row: SecretStore) -> str:
        address = reverse("admin:sesam_secretstore_change", args=[row.pk])
        return format_html('<a class="dp-link" href="{}">Configure</a>', address)

    def response_post_save_add(self, request: HttpRequest, obj: SecretStore) -> HttpResponse:
        return HttpResponseRedirect(store_pages.page_url(obj))

    response_post_save_change = response_post_save_add

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/page/", wrap(store_pages.page), name="sesam_secretstore_page"),
            path("<int:pk>/test/", wrap(store_pages.test), name="sesam_secretstore_test"),
        ]
        return [*own, *super().get_urls()]
