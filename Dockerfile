# The operator's image. Two ways to build it:
#
#   docker build -t singleton-operator .                                    builds the bundle inside, from nothing
#   docker build -t singleton-operator --target from-dist \
#     --build-arg BASE_IMAGE=local/node:24 .                                takes dist/ as it is, needs no network
#
# The base needs nothing but a `node` on its PATH: no shell, no package manager, no writable file system.
ARG BUILD_IMAGE=node:24-slim
ARG BASE_IMAGE=node:24-alpine

FROM ${BASE_IMAGE} AS base
LABEL org.opencontainers.image.title="singleton-operator" \
      org.opencontainers.image.description="Keeps exactly one instance of a service active on Kubernetes" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
ENV NODE_ENV=production
# A number, so that the kubelet can see that it is not root.
USER 65532:65532
# Node is PID 1; the operator handles the signal itself and has no children to reap.
STOPSIGNAL SIGTERM
# A small new space and a capped heap: without them Node takes twice the memory before it collects. Whatever a Deployment
# gives as args are the operator's flags.
ENTRYPOINT ["node", "--max-semi-space-size=2", "--max-old-space-size=256", "/app/operator-main.js"]

FROM base AS from-dist
COPY dist/ /app/

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts/build.ts scripts/
COPY src/ src/
RUN npm run build

FROM base
COPY --from=build /build/dist/ /app/
