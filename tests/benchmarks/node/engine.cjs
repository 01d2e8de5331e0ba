// stripe-sync-engine, embedded as its readme does: every webhook is verified and upserted within its request.
// SECRET URL of a PostgreSQL database. It makes its tables (CommonJS, because its other build cannot) and prints its port.
const { createServer } = require("node:http")
const { runMigrations, StripeSync } = require("@supabase/stripe-sync-engine")

const [secret, databaseUrl] = process.argv.slice(2)
const schema = "stripe"

async function main() {
  await runMigrations({ databaseUrl, schema, logger: { info() {}, error: console.error } })
  const sync = new StripeSync({
    schema,
    stripeSecretKey: "sk_test_benchmark",
    stripeWebhookSecret: secret,
    backfillRelatedEntities: false, // it would ask Stripe for customers that it does not know
    poolConfig: { connectionString: databaseUrl, max: 10 },
  })
  const server = createServer(async (request, response) => {
    const parts = []
    for await (const part of request) parts.push(part)
    try {
      await sync.processWebhook(Buffer.concat(parts), request.headers["stripe-signature"])
      response.writeHead(200, { "Content-Length": 0 }).end()
    } catch (error) {
      console.error(error)
      response.writeHead(400, { "Content-Length": 0 }).end()
    }
  })
  server.listen(0, "127.0.0.1", () => console.log(server.address().port))
}

main()
