"""paho-mqtt with its callbacks turned into queues, so that a test reads from top to bottom."""

import queue

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT_SECONDS = 10
PROTOCOLS = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}


class Paho:
    def __init__(self, server, version=4, client_id="", clean=True, expiry=None, transport="tcp", address=None,
                 keepalive=60, will=None, username=None, password="secret", receive_maximum=None):
        self.version, self.clean, self.keepalive, self.expiry = version, clean, keepalive, expiry
        self.receive_maximum = receive_maximum
        self.address = address or (server.http if transport == "websockets" else server.mqtt)
        self.messages, self.connacks, self.disconnects = queue.Queue(), queue.Queue(), queue.Queue()
        self.subacks, self.unsubacks = queue.Queue(), queue.Queue()
        options = {} if version == 5 else {"clean_session": clean}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=PROTOCOLS[version],
                                  transport=transport, reconnect_on_failure=False, **options)
        if transport == "websockets":
            self.client.ws_set_options(path="/mqtt")
        if will:
            self.client.will_set(**will)
        if username:
            self.client.username_pw_set(username, password)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(100)
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_connect = lambda _client, _data, flags, reason, props: self.connacks.put((flags, reason, props))
        self.client.on_disconnect = lambda _client, _data, _flags, reason, _props: self.disconnects.put(reason)
        self.client.on_subscribe = lambda _client, _data, mid, reasons, _props: self.subacks.put((mid, reasons))
        self.client.on_unsubscribe = lambda _client, _data, mid, reasons, _props: self.unsubacks.put((mid, reasons))

    def connect(self):
        options = {}
        if self.version == 5:
            props = Properties(PacketTypes.CONNECT)
            if self.expiry is not None:
                props.SessionExpiryInterval = self.expiry
            if self.receive_maximum is not None:
                props.ReceiveMaximum = self.receive_maximum
            options = {"clean_start": self.clean, "properties": props}
        self.client.connect(*self.address, keepalive=self.keepalive, **options)
        self.client.loop_start()
        self.flags, self.reason, self.properties = self.connacks.get(timeout=WAIT_SECONDS)
        assert not self.reason.is_failure, str(self.reason)
        return self

    def subscribe(self, topic, qos=0, **options):
        result, mid = self.client.subscribe(topic, qos, **options)
        assert result == mqtt.MQTT_ERR_SUCCESS
        answered, reasons = self.subacks.get(timeout=WAIT_SECONDS)
        assert answered == mid
        return [one.value for one in reasons]

    def unsubscribe(self, topic):
        _, mid = self.client.unsubscribe(topic)
        answered, reasons = self.unsubacks.get(timeout=WAIT_SECONDS)
        assert answered == mid
        return [one.value for one in reasons]

    def publish(self, topic, payload=b"", qos=0, retain=False, wait=True, **props):
        """Returns once the handshake of the QoS is complete, or at once without `wait`."""
        packed = None
        if props:
            packed = Properties(PacketTypes.PUBLISH)
            for key, value in props.items():
                setattr(packed, key, value)
        info = self.client.publish(topic, payload, qos, retain, packed)
        if wait:
            info.wait_for_publish(WAIT_SECONDS)
            assert info.is_published(), "the publish was not acknowledged"
        return info

    def message(self, timeout=WAIT_SECONDS):
        return self.messages.get(timeout=timeout)

    def nothing_for(self, seconds=0.4):
        try:
            found = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"nothing was due, got {found.topic} {found.payload[:40]!r}")

    def drop(self):
        """Ends the connection without a DISCONNECT."""
        self.client.on_disconnect = None
        self.client.loop_stop()
        if self.client.socket():
            self.client.socket().close()
            self.client._sock = None

    def disconnect(self):
        self.client.disconnect()
        self.disconnects.get(timeout=WAIT_SECONDS)
        self.client.loop_stop()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
