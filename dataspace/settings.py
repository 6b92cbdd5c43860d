"""Settings of the portal: the only reader of the environment.

Development starts with nothing set; production refuses every development value.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
XINGLIN_ENV = os.environ.get("XINGLIN_ENV", "development")
if XINGLIN_ENV not in {"development", "production"}:
    raise ImproperlyConfigured("XINGLIN_ENV is development or production")
PRODUCTION = XINGLIN_ENV == "production"


def _read(name: str, development: str) -> str:
    """The variable's value; production has no other."""
    value = os.environ.get(name, "")
    if value:
        return value
    if PRODUCTION:
        raise ImproperlyConfigured(f"production needs {name}")
    return development


def _database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL names a PostgreSQL server")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 10},
    }


DATABASE_URL = _read("DATABASE_URL", "postgresql://portal@127.0.0.1:5432/portal")
DATABASES = {"default": _database(DATABASE_URL)}
SECRET_KEY = _read("SECRET_KEY", "development only, not a secret: 7be5f8a1c2")
DEBUG = False

XINGLIN_PORTAL_URL = _read("XINGLIN_PORTAL_URL", "http://127.0.0.1:8000").rstrip("/")
XINGLIN_TRUST = _read("XINGLIN_TRUST", "")
XINGLIN_FINGERPRINT = _read("XINGLIN_FINGERPRINT", "")
XINGLIN_LOG_KEY_FILE = _read("XINGLIN_LOG_KEY_FILE", "")
XINGLIN_CHAIN_KEY_FILE = _read("XINGLIN_CHAIN_KEY_FILE", "")
XINGLIN_RELAY = _read("XINGLIN_RELAY", "ws://127.0.0.1:8300")
XINGLIN_RELAY_KEY_FILE = _read("XINGLIN_RELAY_KEY_FILE", "")
XINGLIN_RELAY_BYTES = int(os.environ.get("XINGLIN_RELAY_BYTES", str(16 << 30)))  # that one job may send
XINGLIN_VAR = Path(os.environ.get("XINGLIN_VAR", BASE_DIR / "var"))
XINGLIN_VERDICT_SECONDS = int(os.environ.get("XINGLIN_VERDICT_SECONDS", "30"))
XINGLIN_WITNESSES = tuple(
    one.strip().rstrip("/") for one in os.environ.get("XINGLIN_WITNESSES", "").split(",") if one.strip()
)
XINGLIN_BATCH_SECONDS = float(os.environ.get("XINGLIN_BATCH_SECONDS", "0"))  # the least time between two checkpoints
XINGLIN_WAKE = os.environ.get("XINGLIN_WAKE", "on") == "on"

_portal = urlsplit(XINGLIN_PORTAL_URL)
if PRODUCTION and _portal.scheme != "https":
    raise ImproperlyConfigured("production is reached by https: XINGLIN_PORTAL_URL")
if PRODUCTION and not XINGLIN_RELAY.startswith("wss://"):
    raise ImproperlyConfigured("production's relay is reached by wss: XINGLIN_RELAY")
ALLOWED_HOSTS = [_portal.hostname or "127.0.0.1"]
if not PRODUCTION:
    ALLOWED_HOSTS += ["127.0.0.1", "localhost", "testserver"]
CSRF_TRUSTED_ORIGINS = [XINGLIN_PORTAL_URL]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "dataspace.apps.DataspaceConfig",
    "dataspace.provenance.apps.ProvenanceConfig",
    "dataspace.participants.apps.ParticipantsConfig",
    "dataspace.datasets.apps.DatasetsConfig",
    "dataspace.scenarios.apps.ScenariosConfig",
    "dataspace.grants.apps.GrantsConfig",
    "marketplace.apps.MarketplaceConfig",
    "marketplace.products.apps.ProductsConfig",
    "marketplace.agreements.apps.AgreementsConfig",
    "marketplace.jobs.apps.JobsConfig",
    "marketplace.api.apps.ApiConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "dataspace.http.RequestIdMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "dataspace.participants.middleware.ActorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "dataspace.http.ErrorMiddleware",
]

ROOT_URLCONF = "dataspace.urls"
WSGI_APPLICATION = "dataspace.wsgi.application"
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 12_000_000  # a sealed result may be long

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ],
        },
    }
]

AUTH_USER_MODEL = "participants.Person"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _portal.scheme == "https"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PRODUCTION:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}

LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "中文"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "dataspace" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"

STATIC_URL = "/static/"
STATIC_ROOT = XINGLIN_VAR / "static" if PRODUCTION else None  # elsewhere served where it lies
STATICFILES_DIRS: list[Path] = []
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = False

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["marketplace.api.auth.SignatureAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["marketplace.api.auth.Signed"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["marketplace.api.parsers.StrictJson"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "marketplace.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
    "UNICODE_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Xinglin",
    "DESCRIPTION": "The portal's interface for nodes and the SDK. Requests carry RFC 9421 signatures.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
}


def _queue(url: str) -> str:
    """The queue's own database on the same server."""
    parts = urlsplit(url)
    return parts._replace(scheme="pgmq", path="/queue", query="").geturl()


BROKER_URL = os.environ.get("BROKER_URL", "") or _queue(DATABASE_URL)
CELERY_BROKER_URL = BROKER_URL
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 60
CELERY_TASK_DEFAULT_QUEUE = "xinglin"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
if BROKER_URL.startswith("pgmq:"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "init_extension": False,
        # named in full: pgmq would otherwise believe DATABASE_URL before the broker's own address
        "conn_string": urlsplit(BROKER_URL)._replace(scheme="postgresql", query="").geturl(),
        "visibility_timeout": 90,
        "wait_time_seconds": 2,
        "polling_interval": 0.1,
    }

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"httpx": {"level": "WARNING"}, "httpcore": {"level": "WARNING"}},
}
