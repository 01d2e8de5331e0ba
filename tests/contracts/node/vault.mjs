// Seals and opens with Node's own crypto as the web app does, under the key that SECRET makes: for each {op: "seal" | "open", text} it
// is told, the result, or null where it cannot be opened.

import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { createInterface } from "node:readline";

const key = scryptSync(process.env.SECRET, "salt", 32);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

function seal(text) {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const sealed = cipher.update(text, "utf8", "hex") + cipher.final("hex");
  return [iv.toString("hex"), cipher.getAuthTag().toString("hex"), sealed].join(":");
}

function open(sealed) {
  try {
    const [iv, tag, text] = sealed.split(":");
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv, "hex"), { authTagLength: 16 });
    decipher.setAuthTag(Buffer.from(tag, "hex"));
    return decipher.update(text, "hex", "utf8") + decipher.final("utf8");
  } catch {
    return null;
  }
}

say({ node: process.version });
for await (const line of createInterface({ input: process.stdin })) {
  const { op, text } = JSON.parse(line);
  say(op === "seal" ? seal(text) : open(text));
}
