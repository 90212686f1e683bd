# A node of tlru: docker build -t tlru:0.1.0 .
# Everything is built in the first stage, so that no compiler and no pip comes along.
FROM python:3.12-slim AS build
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY peers ./peers
COPY tlru ./tlru
RUN python -m venv /opt/tlru \
    && /opt/tlru/bin/pip install --no-cache-dir . \
    && /opt/tlru/bin/pip uninstall --yes pip

FROM python:3.12-slim
# By number, so that Kubernetes can see that it is not root.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tlru \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/tlru
COPY --from=build /opt/tlru /opt/tlru
ENV PATH=/opt/tlru/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/tlru
VOLUME /var/lib/tlru
EXPOSE 8400 8401
# No shell in between: tlru is process 1, and hears SIGTERM itself.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tlru"]
CMD ["serve"]
