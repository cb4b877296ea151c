# The panel's image: one for web, workers and clock (docker-compose.yml).
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends git openssh-client rsync \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 deploypanel \
    && install -d -o deploypanel -m 700 /data

WORKDIR /panel
COPY requirements/base.txt requirements/base.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/base.txt

COPY manage.py ./
COPY apps apps
COPY deploypanel deploypanel
COPY deploypanel_agent deploypanel_agent
COPY static static
COPY templates templates

ENV PYTHONUNBUFFERED=1 DEPLOYPANEL_DATA=/data DEPLOYPANEL_BIND=0.0.0.0 DEPLOYPANEL_PORT=8000
EXPOSE 8000
VOLUME /data
USER deploypanel

# The supervisor is process 1: it starts, restarts and stops the others, and buries orphans.
CMD ["python", "manage.py", "panel", "--prepare"]
