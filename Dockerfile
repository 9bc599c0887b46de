# duewell in a container: the web app and the hourly syncs, everything it keeps in /data. See docs/install.md
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md CHANGELOG.md LICENSE constraints.txt .env.example ./
COPY connector connector
COPY deploy deploy
COPY docs docs
COPY migrations migrations
COPY policies policies
COPY providers providers
COPY sandbox sandbox
RUN python -m pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels .

FROM python:3.13-slim
# /data belongs to the user before it becomes a volume: an empty named volume takes its owner from here
RUN groupadd --system --gid 10001 duewell \
    && useradd --system --uid 10001 --gid duewell --home-dir /data --shell /usr/sbin/nologin duewell \
    && install --directory --owner duewell --group duewell --mode 0700 /data
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --no-index --find-links /wheels duewell \
    && rm -r /wheels
ENV DUEWELL_HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8710
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8710/healthz', timeout=4)"]
ENTRYPOINT ["duewell"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8710"]
