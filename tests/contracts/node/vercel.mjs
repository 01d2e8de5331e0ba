// Starts emulate's Vercel with one team and in it the project "aura"; the token is in SECRET. Says {port, team}: the team's id.

import { Server } from "node:net";
import { createEmulator } from "emulate";

const listen = Server.prototype.listen;
const token = process.env.SECRET;
const slug = "sandbox";

// It would listen on every interface of the machine.
const port = await new Promise((resolve) => {
  Server.prototype.listen = function (asked) {
    return listen.call(this, { port: asked, host: "127.0.0.1" }, () => resolve(this.address().port));
  };
  const vercel = { users: [{ username: "ada" }], teams: [{ slug }], projects: [{ name: "aura", team: slug }] };
  createEmulator({ service: "vercel", port: 0, seed: { tokens: { [token]: { login: "ada", scopes: [] } }, vercel } });
});
const answer = await fetch(`http://127.0.0.1:${port}/v2/teams`, { headers: { Authorization: `Bearer ${token}` } });
const team = (await answer.json()).teams[0];
process.stdout.write(`${JSON.stringify({ port, team: team.id })}\n`);
process.stdin.resume().on("end", () => process.exit());
