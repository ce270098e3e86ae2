"""MQTT clients: paho for sense, mosquitto_pub and _sub for a second opinion."""

import queue
import subprocess
import threading

import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from lab.waiting import PATIENCE

V31, V311, V5 = paho.MQTTv31, paho.MQTTv311, paho.MQTTv5


class RefusedError(AssertionError):
    """The CONNACK was no welcome: `code` as MQTT 5 has it, `text` its Reason String or None."""

    def __init__(self, client_id, answer, properties):
        super().__init__(f"{client_id}: {answer}")
        self.code = answer.value
        self.text = getattr(properties, "ReasonString", None)


class Client:
    """One paho client with its network thread; every call waits for the broker's answer."""

    def __init__(
        self,
        port,
        client_id,
        *,
        version=V311,
        host="127.0.0.1",
        clean=True,
        will=None,
        keepalive=60,
        username=None,
        source="",
        tls=None,
        path=None,
    ):
        """`will` is (topic, payload, qos, retain), `source` our own address, `tls` a context.

        With `path` it comes by WebSocket.

        Raises RefusedError.
        """
        self.client_id = client_id
        self.messages = queue.Queue()
        self._answers = queue.Queue()
        self._lost = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=version,
            reconnect_on_failure=False,
            transport="tcp" if path is None else "websockets",
            **({} if version == V5 else {"clean_session": clean}),
        )
        if path is not None:
            self._client.ws_set_options(path=path)
        self._client.on_connect = lambda *args: self._answers.put(args[3:])
        self._client.on_subscribe = lambda *args: self._answers.put(args[3])
        self._client.on_disconnect = self._disconnected
        self._client.on_message = lambda *args: self.messages.put(args[2])
        if will:
            self._client.will_set(*will)
        if username:
            self._client.username_pw_set(username, "secret")
        if tls is not None:
            self._client.tls_set_context(tls)
        more = {"clean_start": clean} if version == V5 else {}
        self._client.connect(host, port, keepalive=keepalive, bind_address=source, **more)
        self._client.loop_start()
        try:
            answer = self._answers.get(timeout=PATIENCE)
        except queue.Empty:
            answer = None
        if answer is None:
            self.close()
            raise AssertionError(f"{client_id}: no CONNACK")
        code, properties = answer
        if code.is_failure:
            self.close()
            raise RefusedError(client_id, code, properties)

    def _disconnected(self, *_):
        self._lost.set()
        # Nobody needs to wait for an answer any more.
        self._answers.put(None)

    def subscribe(self, topic, qos=0):
        """Subscribe and wait for the SUBACK."""
        if self._client.protocol == V5:
            self._client.subscribe(topic, options=SubscribeOptions(qos=qos))
        else:
            self._client.subscribe(topic, qos)
        codes = self._answers.get(timeout=PATIENCE)
        assert not codes[0].is_failure, codes

    def publish(self, topic, payload, *, qos=0, retain=False, properties: Properties | None = None):
        """Publish and wait until it is sent (QoS 0) or acknowledged."""
        info = self._client.publish(topic, payload, qos, retain, properties)
        info.wait_for_publish(PATIENCE)
        assert info.is_published(), f"{self.client_id}: {topic} was not acknowledged"

    def receive(self, timeout=PATIENCE):
        """The next message."""
        try:
            return self.messages.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self.client_id}: no message in {timeout:g} s") from None

    def lost(self, timeout=PATIENCE) -> bool:
        """Wait for the connection to be lost; False when it is still there after `timeout`."""
        return self._lost.wait(timeout)

    @property
    def connected(self) -> bool:
        """Whether the connection was not lost."""
        return not self._lost.is_set()

    def vanish(self):
        """Close the socket without a DISCONNECT, as a device whose battery is empty."""
        sock = self._client.socket()
        if sock is not None:
            sock.shutdown(2)

    def close(self):
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def mosquitto_pub(port, topic, payload, *, version="mqttv5", qos=1, prefix=(), more=()):
    """Publish once with the other client."""
    subprocess.run(
        [
            *prefix,
            "mosquitto_pub",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-V",
            version,
            "-q",
            str(qos),
            "-t",
            topic,
            "-s",
            *more,
        ],
        input=payload,
        timeout=PATIENCE,
        check=True,
        capture_output=True,
    )
