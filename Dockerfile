# The Rally plug-in for HCL Accelerate. It responds to `node velocity-plugin.min.js ...`, but contains no Node.js.
# `make image` builds it. `make image-rootfs` creates the same file tree in a folder.
ARG PYTHON=3.13
ARG DEBIAN=bookworm

FROM python:${PYTHON}-slim-${DEBIAN} AS build
WORKDIR /src
COPY requirements/image.txt requirements/image.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore \
    --require-hashes --only-binary :all: --no-deps -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY requirements/plugin.txt requirements/plugin.txt
COPY src src
COPY image image
RUN python image/assemble.py /rootfs

FROM python:${PYTHON}-slim-${DEBIAN}
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="rally-accelerate" \
      org.opencontainers.image.description="The Rally plug-in for HCL Accelerate: stories and defects with their full history." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# The base image comes without the standard library's bytecode, and at run time nothing can be written: every run would
# compile anew what it imports, which takes longer than all the rest of a quiet cycle.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x "/(site-packages|ensurepip|idlelib|idle_test|lib2to3|pydoc_data|tests?|tkinter|turtledemo|unittest)/" \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /rootfs /
# The platform looks for velocity-plugin.min.js and encryptKey here, and runs the image as whatever user it likes.
WORKDIR /plugin
USER 10001:0
# No ENTRYPOINT: the platform gives the whole command.
CMD ["node", "velocity-plugin.min.js", "getManifest"]
