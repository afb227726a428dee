# syntax=docker/dockerfile:1
# The image of `logkeep serve`: docs/deploy/README.md says how to run it.

FROM node:26-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY jobs ./jobs
COPY migrations ./migrations
COPY src ./src
RUN npm run build

# What runs needs neither the compilers nor the embedded Postgres, which would be 100 MB: give it a DATABASE_URL.
FROM node:26-bookworm-slim AS packages
WORKDIR /packages
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --omit=dev --omit=optional

FROM node:26-bookworm-slim
ENV NODE_ENV=production LOGKEEP_HOST=0.0.0.0 LOGKEEP_PORT=9464 LOGKEEP_LOG_LEVEL=info
COPY package.json LICENSE /opt/logkeep/
COPY --from=packages /packages/node_modules /opt/logkeep/node_modules
COPY --from=build /build/dist /opt/logkeep/dist
# logkeep.yaml is looked for here. Nothing is written anywhere: the root file system may be read-only.
WORKDIR /etc/logkeep
USER 1000:1000
EXPOSE 9464
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.LOGKEEP_PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/opt/logkeep/dist/src/main.js"]
CMD ["serve"]
