"""Django's settings. Every value an operator may set is a `DEPLOYPANEL_…` variable (docs/operations.md)."""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet
from csp import constants as csp
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from deploypanel import environment as env
from deploypanel import theme

BASE_DIR = Path(__file__).resolve().parent.parent

# Where everything that is not code lives: database, mirrors, working folders, keys, logs.
DATA_DIR = Path(env.text("DEPLOYPANEL_DATA") or BASE_DIR / "var").resolve()
# `web`, `worker`, `clock`, `runner` or `command`: decides how database connections are kept.
ROLE = env.text("DEPLOYPANEL_ROLE", "command")

DEBUG = env.boolean("DEPLOYPANEL_DEBUG", False)
BIND = env.text("DEPLOYPANEL_BIND", "127.0.0.1")
PORT = env.integer("DEPLOYPANEL_PORT", 8000, least=1)
ALLOWED_HOSTS = env.listing("DEPLOYPANEL_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.listing("DEPLOYPANEL_TRUSTED_ORIGINS", [])
PUBLIC_URL = env.text("DEPLOYPANEL_URL", f"http://{'localhost' if BIND in {'127.0.0.1', '0.0.0.0'} else BIND}:{PORT}")  # noqa: S104 - compared, not bound

SECRET_KEY = env.kept_secret("DEPLOYPANEL_SECRET_KEY", DATA_DIR / "secret_key")
# Keys that encrypt secrets at rest, newest first, one a line or separated by commas.
KEY_RING = env.kept_secret("DEPLOYPANEL_KEY_RING", DATA_DIR / "key_ring", lambda: Fernet.generate_key().decode())

HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Everything is served from here, and no page of ours has a script in its markup. What the theme forces:
# 'unsafe-eval', because Alpine makes functions of the expressions in its attributes (none of which a
# user can write), and 'unsafe-inline' for styles only, because the theme prints its colours and widths
# into the page. `connect-src 'self'` covers the WebSocket of the same origin.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.SELF],
        "script-src": [csp.SELF, csp.UNSAFE_EVAL],
        "style-src": [csp.SELF, csp.UNSAFE_INLINE],
        "img-src": [csp.SELF, "data:"],
        "connect-src": [csp.SELF],
        "object-src": [csp.NONE],
        "base-uri": [csp.SELF],
        "form-action": [csp.SELF],
        "frame-ancestors": [csp.NONE],
    }
}
BEHIND_PROXY = env.boolean("DEPLOYPANEL_BEHIND_PROXY", False)  # believe its X-Forwarded-… headers
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

INSTALLED_APPS = [
    "deploypanel",
    "apps.triggers",
    "apps.environments",
    "apps.sesam",
    "apps.agents",
    "apps.repos",
    "apps.files",
    "apps.runs",
    "apps.access",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "guardian",
    "channels",
    "csp",
]

if ROLE == "runner":
    # Started for each run, it shows no pages: without the admin it begins its work a quarter sooner.
    INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in {"unfold", "django.contrib.admin"}]
    INSTALLED_APPS.append("django.contrib.admin.apps.SimpleAdminConfig")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "deploypanel.staticfiles.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "apps.access.asked.RowsBounded",
]

ROOT_URLCONF = "deploypanel.urls"
ASGI_APPLICATION = "deploypanel.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": env.database(env.secret("DEPLOYPANEL_DATABASE_URL"), DATA_DIR, web=ROLE == "web")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
ANONYMOUS_USER_NAME = None  # guardian: nobody is nobody

LANGUAGE_CODE = "en"
TIME_ZONE = env.text("DEPLOYPANEL_TIME_ZONE", "UTC")
USE_I18N = False
FORMAT_MODULE_PATH = ["deploypanel.formats"]
USE_TZ = True

UNFOLD = theme.UNFOLD

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "deploypanel.staticfiles.StaticFilesStorage"},
}

# The queue is a doorbell: short tasks that look up a row by its id and call a service. All work of
# any length happens in a runner process (apps/runs), which the queue merely starts.
WORKERS = env.integer("DEPLOYPANEL_WORKERS", 4, least=1)
Q_CLUSTER = {
    "name": "deploypanel",
    "orm": "default",
    "broker_class": "apps.runs.broker.LeasingBroker",
    "workers": WORKERS,
    "timeout": 600,
    "retry": 660,
    "max_attempts": 1,
    "ack_failures": True,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.05,
    "save_limit": 0,
    "recycle": 500,
    "catch_up": False,
    "guard_cycle": 0.5,
    "scheduler": False,
    "ALT_CLUSTERS": {},
}

# Work (apps/runs)
RUNS_PARALLEL = env.integer("DEPLOYPANEL_RUNS_PARALLEL", 8, least=1)  # runs at once on this machine
RUN_TIME_LIMIT = env.integer("DEPLOYPANEL_RUN_TIME_LIMIT", 3600, least=1)  # seconds
RUN_SILENCE_LIMIT = env.integer("DEPLOYPANEL_RUN_SILENCE_LIMIT", 900, least=1)  # seconds without output
RUN_LOG_LIMIT = env.integer("DEPLOYPANEL_RUN_LOG_LIMIT", 64 * 1024 * 1024, least=1024)  # bytes stored per run
RUN_KEEP_DAYS = env.integer("DEPLOYPANEL_RUN_KEEP_DAYS", 90, least=1)  # runs and logs; deployments stay
RUN_LOST_AFTER = env.integer("DEPLOYPANEL_RUN_LOST_AFTER", 15, least=3)  # seconds without a heartbeat
AGENT_LOST_AFTER = env.integer("DEPLOYPANEL_AGENT_LOST_AFTER", 120, least=10)  # the same for runs on agents

# Metrics (deploypanel/metrics.py)
METRICS_TOKEN = env.secret("DEPLOYPANEL_METRICS_TOKEN")
METRICS_ALLOW = env.networks("DEPLOYPANEL_METRICS_ALLOW")

# Code (apps/repos)
MIRROR_DIR = DATA_DIR / "mirrors"
WORK_DIR = DATA_DIR / "work"
GIT_TIMEOUT = env.integer("DEPLOYPANEL_GIT_TIMEOUT", 600, least=1)  # seconds for one fetch
POLL_INTERVAL = env.integer("DEPLOYPANEL_POLL_INTERVAL", 300, least=5)  # seconds
DELIVERY_KEEP_DAYS = env.integer("DEPLOYPANEL_DELIVERY_KEEP_DAYS", 30, least=1)
HOOK_BODY_LIMIT = 25 * 1024 * 1024  # as GitHub's
DATA_UPLOAD_MAX_MEMORY_SIZE = HOOK_BODY_LIMIT

# Named triggers (apps/triggers): what old clients of Prostagma know; empty: what the admin holds, or nothing
PROSTAGMA_SECRET = env.secret("DEPLOYPANEL_PROSTAGMA_SECRET")

# Hosts (apps/environments)
SSH_CONNECT_TIMEOUT = env.integer("DEPLOYPANEL_SSH_CONNECT_TIMEOUT", 10, least=1)  # seconds
SSH_KEEPALIVE = env.integer("DEPLOYPANEL_SSH_KEEPALIVE", 5, least=1)  # seconds; three missed ones cut the host off
STATUS_INTERVAL = env.integer("DEPLOYPANEL_STATUS_INTERVAL", 600, least=10)  # seconds between two looks at the hosts

if env.text("DEPLOYPANEL_RUN_TIME_LIMIT") and RUN_SILENCE_LIMIT > RUN_TIME_LIMIT:
    raise ImproperlyConfigured("DEPLOYPANEL_RUN_SILENCE_LIMIT is longer than DEPLOYPANEL_RUN_TIME_LIMIT.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    # A monitor that asks a failing panel every second must not fill its log.
    "filters": {
        "no_health": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: "/health" not in str(record.args),
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["no_health"]}},
    "root": {"handlers": ["console"], "level": env.text("DEPLOYPANEL_LOG_LEVEL", "INFO")},
    "loggers": {"paramiko": {"level": "CRITICAL"}, "django-q": {"level": "WARNING"}},
}
