# JupyterHub with the proxy in front of it, both by hash.
#   docker build -f k8s/images/hub.Dockerfile -t datameesh/hub:0.1.0 .
ARG NODE_IMAGE=node:22-bookworm-slim
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${NODE_IMAGE} AS proxy
WORKDIR /opt/proxy
COPY platform/jupyterhub/proxy/package.json platform/jupyterhub/proxy/package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev --no-audit --no-fund && mkdir bin \
 && printf '#!/bin/sh\nexec /usr/local/bin/node /opt/proxy/node_modules/configurable-http-proxy/bin/configurable-http-proxy "$@"\n' > bin/configurable-http-proxy && chmod 755 bin/configurable-http-proxy

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="DataMeesh hub" org.opencontainers.image.version="0.1.0" org.opencontainers.image.licenses="Apache-2.0"
RUN echo 'hub:x:1000:1000::/srv/hub:/sbin/nologin' >> /etc/passwd
COPY platform/jupyterhub/hub.lock /tmp/hub.lock
RUN python3 -m venv /opt/hub && /opt/hub/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /tmp/hub.lock && rm /tmp/hub.lock
COPY --from=proxy /usr/local/bin/node /usr/local/bin/node
COPY --from=proxy /opt/proxy /opt/proxy
ENV PATH=/opt/hub/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
USER 1000:1000
