// One client of mqtt.js: subscribes, publishes, and prints what came back as JSON.
//
// usage: node mqttjs.js '{"options": {…}, "messages": [[payload, qos]…]}'

const net = require('net')
const mqtt = require('mqtt')

const job = JSON.parse(process.argv[2])
// Its own way of connecting leaves localAddress out.
const client = new mqtt.MqttClient(() => net.connect(job.options), {
  ...job.options,
  reconnectPeriod: 0,
  connectTimeout: 15000
})
const got = []

function end (answer) {
  client.end(() => {
    console.log(JSON.stringify(answer))
    process.exit(0)
  })
}

client.on('error', (error) => end({ code: error.code, error: error.message }))
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
