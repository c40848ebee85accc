"""aiomqtt: clients as asynchronous code writes them."""

import asyncio
import contextlib

import aiomqtt
import motet
import pytest

VERSIONS = {4: aiomqtt.ProtocolVersion.V311, 5: aiomqtt.ProtocolVersion.V5}


def client(server, version, name, **options):
    host, port = server.mqtt
    return aiomqtt.Client(host, port, identifier=name, protocol=VERSIONS[version], timeout=10, **options)


async def take(one, count):
    """The next messages, as topic, payload and QoS."""
    found = []
    async for message in one.messages:
        found.append((str(message.topic), message.payload, message.qos))
        if len(found) == count:
            return found


@pytest.mark.parametrize("version", [4, 5])
def test_aiomqtt_publishes_and_subscribes(server, name, version):
    async def talk():
        async with client(server, version, name + "s") as sub, client(server, version, name + "p") as pub:
            await sub.subscribe(name + "/#", qos=2)
            await asyncio.gather(*(pub.publish(f"{name}/{qos}", b"x" * qos, qos=qos) for qos in range(3)))
            found = await asyncio.wait_for(take(sub, 3), 10)
            assert sorted(found) == [(f"{name}/{qos}", b"x" * qos, qos) for qos in range(3)]
            await sub.unsubscribe(name + "/#")

    asyncio.run(talk())


@pytest.mark.parametrize("version", [4, 5])
def test_aiomqtt_finds_what_is_retained_and_hears_a_will(server, name, version):
    async def talk():
        will = aiomqtt.Will(name + "/will", b"gone", qos=1)
        async with client(server, version, name + "s") as sub:
            await sub.publish(name + "/kept", b"value", qos=1, retain=True)
            await sub.subscribe(name + "/+", qos=1)
            assert await asyncio.wait_for(take(sub, 1), 10) == [(name + "/kept", b"value", 1)]
            async with client(server, version, name + "w", will=will) as doomed:
                doomed._client._sock_close()  # what a broken connection looks like
                assert await asyncio.wait_for(take(sub, 1), 10) == [(name + "/will", b"gone", 1)]
            await sub.publish(name + "/kept", b"", qos=1, retain=True)

    with contextlib.suppress(aiomqtt.MqttError):  # of the doomed one, if it notices before it leaves
        asyncio.run(talk())


def test_aiomqtt_is_told_why_it_is_refused(kind, tmp_path, name):
    if kind is not motet.Motet:
        pytest.skip("the settings are Motet's")
    own = kind(tmp_path / "server", settings='[access]\nanonymous = "never"\n').start()

    async def talk():
        async with client(own, 5, name, username="nobody", password="wrong"):
            pass

    try:
        with pytest.raises(aiomqtt.MqttError, match="(?i)not authorized|bad user"):
            asyncio.run(talk())
    finally:
        own.close()
