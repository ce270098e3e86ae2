// One client of mqtt.js: subscribes, publishes, and prints what came back as JSON.
//
// usage: node mqttjs.js '{"options": {…}, "messages": [[payload, qos]…], "url": …}'
// With a URL (ws://… or wss://…) it comes by WebSocket.

const fs = require('fs')
const net = require('net')
const tls = require('tls')
const mqtt = require('mqtt')

const job = JSON.parse(process.argv[2])
for (const name of ['ca', 'cert', 'key']) {
  if (job.options[name]) job.options[name] = fs.readFileSync(job.options[name])
}
const connect = job.options.ca ? tls.connect : net.connect
// Its own way of connecting leaves localAddress out.
const options = { ...job.options, reconnectPeriod: 0, connectTimeout: 15000 }
const client = job.url
  ? mqtt.connect(job.url, options)
  : new mqtt.MqttClient(() => connect(job.options), options)
const got = []
let ending = false

function end (answer) {
  if (ending) return
  ending = true
  client.end(() => {
    console.log(JSON.stringify(answer))
    process.exit(0)
  })
}

client.on('error', (error) => end({ code: error.code, error: error.message }))
client.on('close', () => end({ error: 'closed' }))
client.on('message', (topic, payload, packet) => {
  got.push([payload.toString(), packet.qos])
  if (got.length === job.messages.length) end({ got })
})
client.on('connect', () => {
  client.subscribe('js', { qos: 2 }, (error) => {
    if (error) return end({ error: error.message })
    for (const [payload, qos] of job.messages) client.publish('js', payload, { qos })
  })
})
