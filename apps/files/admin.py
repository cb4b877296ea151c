"""The file cache in the admin: what is kept, what was not to be had, and the settings. For administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from apps.access.admin_site import ModelAdmin, actor_of
from apps.access.asked import nul_refused
from apps.access.errors import PanelError
from apps.files import claims
from apps.files.forms import CacheSettingsForm
from apps.files.models import CachedFile, CacheSettings
from apps.files.selectors import bytes_kept, cache_settings, files_kept
from apps.files.services import files_delete, store_try
from apps.files.sizes import size_shown
from apps.runs.wording import age, badge, moment

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

STATES = (("kept", "Kept"), ("failed", "Failed"), ("none", "Not kept"))


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return STATES

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {"kept": ~Q(stored_as=""), "failed": ~Q(failure=""), "none": Q(stored_as="")}
        return queryset.filter(wanted[self.value() or ""]) if self.value() in wanted else queryset


@admin.register(CachedFile)
class CachedFileAdmin(ModelAdmin):
    list_before_template = "files/_list_before.html"
    empty_template = "files/_empty.html"
    list_display = ("address", "state", "size_words", "hits", "downloads", "used", "fetched")
    list_display_links = None
    list_filter = (StateFilter,)
    search_fields = ("url", "sha256", "failure")
    search_help_text = "Address, checksum or failure"
    show_full_result_count = True
    fieldsets: ClassVar = (
        (None, {"fields": ("whole_address", "state", "failure", "failed_words")}),
        ("Content", {"fields": ("checksum", "size_words", "content_type", "etag", "last_modified", "place")}),
        (
            "Use",
            {"fields": ("hits", "served_words", "downloads", "fetched_words", "used_moment", "asked_moment")},
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: CachedFile) -> None:
        files_delete(rows=[obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CachedFile]) -> None:
        files_delete(rows=list(queryset))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What people wait for goes with the file, and is nothing that anybody has rights on."""
        named = [str(one) for one in objs]
        return named, {str(self.opts.verbose_name_plural): len(named)}, set(), []

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        settings = cache_settings()
        extra = {
            "kept": files_kept().count(),
            "kept_size": size_shown(bytes_kept()),
            "total_size": size_shown(settings.total_limit),
            "in_bucket": settings.storage_bucket if settings.storage == CacheSettings.Storage.S3 else "",
        }
        return super().changelist_view(request, extra_context=extra)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Its templates get the list, and an empty one nothing else."""
        found = super().get_changelist_instance(request)
        found.may_configure = request.user.has_perm("files.change_cachesettings")
        return found

    # --- the list ---------------------------------------------------------------------------

    @admin.display(description="Address", ordering="url")
    def address(self, row: CachedFile) -> str:
        page = reverse("admin:files_cachedfile_change", args=[row.pk])
        shown = row.url if len(row.url) <= 90 else f"{row.url[:60]}…{row.url[-29:]}"
        return format_html('<a class="dp-link" href="{}" title="{}">{}</a>', page, row.url[:1000], shown)

    @admin.display(description="State")
    def state(self, row: CachedFile) -> SafeString:
        if claims.is_live(row):
            return badge("Downloading", "info dp-busy")
        if row.failure:
            return badge(row.get_fault_display(), "warn" if row.stored_as else "bad", row.failure)
        return badge("Kept", "good") if row.stored_as else badge("Left the cache", "idle")

    @admin.display(description="Size", ordering="size")
    def size_words(self, row: CachedFile) -> str:
        return size_shown(row.size).replace(" ", "\u00a0") if row.stored_as else "–"

    @admin.display(description="Last used", ordering="used_at")
    def used(self, row: CachedFile) -> str:
        return age(row.used_at)

    @admin.display(description="Last fetched", ordering="fetched_at")
    def fetched(self, row: CachedFile) -> str:
        return age(row.fetched_at)

    # --- the page of one --------------------------------------------------------------------

    @admin.display(description="Address")
    def whole_address(self, row: CachedFile) -> str:
        return _long(row.url)

    @admin.display(description="SHA-256")
    def checksum(self, row: CachedFile) -> str:
        return _long(row.sha256)

    @admin.display(description="Kept as")
    def place(self, row: CachedFile) -> str:
        return _long(row.stored_as)

    @admin.display(description="Failed")
    def failed_words(self, row: CachedFile) -> str:
        return moment(row.failed_at) or "never"

    @admin.display(description="Sent to those who asked")
    def served_words(self, row: CachedFile) -> str:
        return size_shown(row.bytes_served)

    @admin.display(description="Fetched from its origin")
    def fetched_words(self, row: CachedFile) -> str:
        return size_shown(row.bytes_fetched)

    @admin.display(description="Used last")
    def used_moment(self, row: CachedFile) -> str:
        return moment(row.used_at) or "never"

    @admin.display(description="Origin asked last, with success")
    def asked_moment(self, row: CachedFile) -> str:
        return moment(row.fetched_at) or "never"


def _long(text: str) -> str:
    """What has no spaces, broken wherever the line ends."""
    return format_html('<code class="dp-break">{}</code>', text) if text else "–"


@admin.register(CacheSettings)
class CacheSettingsAdmin(ModelAdmin):
    """One row: its list leads to it."""

    form = CacheSettingsForm
    change_form_outer_after_template = "files/_try.html"
    fieldsets: ClassVar = (
        ("What may be asked", {"fields": ("allowed", "private_allowed")}),
        ("Limits", {"fields": ("file_limit", "total_limit", "time_limit")}),
        (
            "S3",
            {
                "fields": ("s3_endpoint", "s3_region", "s3_access_key", "s3_secret_key"),
                "description": "Amazon's, or any store that speaks it. Without keys only what is public can be read.",
            },
        ),
        (
            "Where files are kept",
            {
                "fields": ("storage", "storage_bucket", "storage_prefix"),
                "description": "Two panels share the cache by their database and either a shared data folder or a "
                "bucket. What is kept stays where it is when this is changed.",
            },
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(super().has_add_permission(request)) and not CacheSettings.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False  # it is reached from the list of files

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            return super().changelist_view(request, *args, **kwargs)  # which refuses
        row = CacheSettings.objects.order_by("pk").first()
        name = "admin:files_cachesettings"
        address = reverse(f"{name}_change", args=[row.pk]) if row else reverse(f"{name}_add")
        return HttpResponseRedirect(address)

    def response_post_save_add(self, request: HttpRequest, obj: CacheSettings) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:files_cachedfile_changelist"))

    response_post_save_change = response_post_save_add

    def get_urls(self) -> list[URLPattern]:
        page = path("try/", self.admin_site.admin_view(self.try_page), name="files_cachesettings_try")
        return [page, *super().get_urls()]

    @method_decorator(require_POST)
    def try_page(self, request: HttpRequest) -> HttpResponse:
        """The store as the settings have it is tried; what came of it is told above them."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        nul_refused(request)
        try:
            for trial in store_try(actor=actor_of(request), bucket=request.POST.get("bucket", "")):
                getattr(messages, trial.level)(request, trial.sentence)
        except PanelError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:files_cachesettings_changelist"))
