# A person's notebook server, with dbt and its project, the notebooks of the domains, and the mesh's Python package.
#   docker build -f k8s/images/notebook.Dockerfile -t datameesh/notebook:0.1.0 .
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="DataMeesh notebook" org.opencontainers.image.version="0.1.0" org.opencontainers.image.licenses="Apache-2.0"
RUN echo 'notebook:x:1000:1000::/home/notebook:/bin/bash' >> /etc/passwd && mkdir -p /home/notebook
COPY platform/jupyterhub/notebook.lock platform/dbt/requirements.lock /tmp/
RUN python3 -m venv /opt/notebook && /opt/notebook/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /tmp/notebook.lock \
 && python3 -m venv /opt/dbt && /opt/dbt/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /tmp/requirements.lock && rm /tmp/*.lock
COPY domains /opt/project
COPY platform/dbt/profiles.yml /opt/project/profiles.yml
COPY platform/jupyterhub/python /opt/mesh/python
COPY platform/jupyterhub/lab /opt/mesh/lab
RUN for folder in /opt/project/*/notebooks; do domain=$(basename "$(dirname "$folder")"); mkdir -p "/opt/mesh/notebooks/$domain" && cp "$folder"/*.ipynb "/opt/mesh/notebooks/$domain/"; done && chmod -R a-w /opt/mesh/notebooks
ENV PATH=/opt/notebook/bin:/opt/dbt/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/mesh/python PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
USER 1000:1000
