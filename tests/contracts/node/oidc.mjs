// Starts oidc-provider, certified by the OpenID Foundation, with the clients in argv[2] (JSON; secrets are in SECRET, by client).
// PKCE is required, refresh tokens rotate, and one that comes twice ends everything. With argv[3] and argv[4], paths of a
// certificate and its key, it speaks https. Says {port}. The accounts are whoever signs in.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { Provider } from "oidc-provider";

const [, , clients, cert, key] = process.argv;
const secrets = JSON.parse(process.env.SECRET);
const server = cert ? https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }) : http.createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const { port } = server.address();
const claims = (id) => ({ sub: id, id: `id-of-${id}`, username: id, email: `${id}@example.com` });

const provider = new Provider(`${cert ? "https" : "http"}://127.0.0.1:${port}`, {
  clients: JSON.parse(clients).map((client) => ({ ...client, client_secret: secrets[client.client_id] })),
  cookies: { keys: ["not-secret-here"] },
  claims: { openid: ["sub", "id", "username", "email"] },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => claims(id) }),
  issueRefreshToken: () => true,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
});
server.on("request", provider.callback());
process.stdout.write(`${JSON.stringify({ port })}\n`);
process.stdin.resume().on("end", () => process.exit());
