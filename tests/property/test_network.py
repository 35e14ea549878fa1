"""Small overlays of real nodes in a hostile world: claims always hold, every end is told once."""

from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dmoa.core import (
    WHOLE_PROMPT,
    Answer,
    Content,
    Join,
    MessageReceived,
    Node,
    PeerFound,
    PeerLost,
    Prefill,
    PromptArrived,
    Refusal,
    Refuse,
    Response,
    ServiceEnded,
    ServiceFailed,
    Stream,
    Task,
    TaskId,
    TimerFired,
    TimerId,
    Uniform,
    Withdrawal,
    derive,
    layered,
)
from dmoa.core.plan import ATTEMPTS_MAX
from tests.property.world import World, dag_plans, layered_plans, overlays

position = st.integers(0, 2**16)
"""Which of those at hand: taken modulo their number."""

number = st.integers(0, 5)


class Network(RuleBasedStateMachine):
    """Everything a network, a language model, a machine and a user can do to nodes."""

    def __init__(self):
        super().__init__()
        self.world = World(list)  # without nodes, until `start`

    @initialize(build=overlays(st.one_of(layered_plans, dag_plans())), prompts=st.integers(1, 4))
    def start(self, build, prompts):
        self.world = World(build)
        self.names = list(self.world.nodes)
        for prompt in range(prompts):
            self.world.arrive(self.names[prompt % len(self.names)], prompt)

    def node(self, at):
        """Choose one of the nodes that run."""
        up = self.world.up()
        return up[at % len(up)]

    @precondition(lambda self: self.world.up())
    @rule(
        at=position,
        plan=st.sampled_from([None, None, layered(0, 0), layered(2, 1, join=Join(attempts=2))]),
        patience_s=st.sampled_from([None, None, -1.0, 0.0, 30.0]),
    )
    def prompt_arrives(self, at, plan, patience_s):
        self.world.arrive(self.node(at), len(self.world.arrived), plan, patience_s)

    @precondition(lambda self: self.world.under_way())
    @rule(at=position)
    def something_goes_on(self, at):
        """Whatever is under way: deliver a message, end a service, fire a timer, tell of a peer."""
        self.world.go_on(at % self.world.under_way())

    @precondition(lambda self: self.world.in_flight)
    @rule(at=position)
    def message_is_delivered(self, at):
        self.world.deliver(at % len(self.world.in_flight))

    @precondition(lambda self: self.world.in_flight)
    @rule(at=position, at_once=st.booleans())
    def message_is_doubled(self, at, at_once):
        # Responses first: they are rarer than tasks, and a doubled one is what may spoil a join.
        messages = [received.message for _, received in self.world.in_flight]
        responses = [i for i, message in enumerate(messages) if isinstance(message, Response)]
        indices = responses or range(len(messages))
        self.world.double(indices[at % len(indices)], at_once=at_once)

    @precondition(lambda self: self.world.in_flight)
    @rule(at=position)
    def message_is_lost(self, at):
        self.world.drop(at % len(self.world.in_flight))

    @precondition(lambda self: self.world.services)
    @rule(at=position)
    def service_ends(self, at):
        self.world.end(at % len(self.world.services))

    @precondition(lambda self: self.world.services)
    @rule(at=position)
    def service_fails(self, at):
        name, task = self.world.services.pop(at % len(self.world.services))
        self.world.hear(name, ServiceFailed(task, "out of memory"))

    @precondition(lambda self: self.world.timers)
    @rule(at=position)
    def timer_fires(self, at):
        self.world.fire(at % len(self.world.timers))

    @precondition(lambda self: self.world.up())
    @rule(at=position)
    def node_crashes(self, at):
        self.world.crash(self.node(at))

    @precondition(lambda self: self.world.under_way())
    @rule(at=position, cut=st.integers(0, 6))
    def node_crashes_in_the_middle_of_its_actions(self, at, cut):
        self.world.go_on(at % self.world.under_way(), cut)

    @precondition(lambda self: self.world.down)
    @rule(at=position)
    def node_starts_again(self, at):
        down = sorted(self.world.down)
        self.world.restart(down[at % len(down)])

    @precondition(lambda self: self.world.up())
    @rule(at=position, peer=position, found=st.booleans())
    def node_takes_a_peer_for_lost(self, at, peer, found):
        """A cut connection: nobody crashed, and it may come back."""
        name = self.node(at)
        notices, lost = self.world.notices[name], self.names[peer % len(self.names)]
        if lost not in self.world.down and lost != name:
            notices += [PeerLost(lost)] + [PeerFound(lost)] * found

    @precondition(lambda self: self.world.up())
    @rule(at=position)
    def node_drains(self, at):
        self.world.start_draining(self.node(at))

    @precondition(lambda self: self.world.up())
    @rule(at=position, prompt=number, stage=number, slot=number, message=st.sampled_from("trfw"))
    def stranger_meddles(self, at, prompt, stage, slot, message):
        """Somebody outside the overlay asks in a node's name, responds, refuses or withdraws."""
        name = self.node(at)
        task = TaskId(name, prompt, stage, slot)
        if message == "t":
            self.heard_as_noise(name, MessageReceived("mallory", Task(task, Content(1))))
        elif message == "w":
            self.heard_as_noise(name, MessageReceived("mallory", Withdrawal(task)))
        else:
            self.lie(name, "mallory", task, refuse=message == "f")

    @precondition(lambda self: self.world.asked)
    @rule(
        at=position,
        wrong=st.sampled_from(["sender", "origin", "prompt", "stage", "slot", "attempt"]),
        refuse=st.booleans(),
    )
    def peer_responds_to_what_it_was_not_asked(self, at, wrong, refuse):
        asked = list(self.world.asked.items())
        task, sender = asked[at % len(asked)]
        name = task.origin
        if name in self.world.down:
            return
        fields = {field: getattr(task, field) for field in task.__struct_fields__}
        if wrong == "sender":
            sender = next((n for n in self.names if n not in {sender, name}), "mallory")
        elif wrong == "origin":
            fields["origin"] = sender
        elif wrong == "prompt":
            fields["prompt"] = len(self.world.arrived)
        else:
            fields[wrong] += 64
        self.lie(name, sender, TaskId(**fields), refuse=refuse)

    @precondition(lambda self: self.world.up())
    @rule(at=position, what=st.sampled_from(["prompt", "ended", "failed", "timer"]))
    def driver_repeats_itself(self, at, what):
        """A prompt arrives twice; a service that is not running ends; a timer is past its use."""
        name = self.node(at)
        new = len(self.world.arrived)
        unknown = TaskId(name, new, 0, 0)
        if what == "prompt":
            for prompt in self.world.nodes[name]._coordinator.flights:
                self.heard_as_noise(name, PromptArrived(prompt, Content(99)))
        elif what == "ended":
            self.heard_as_noise(name, ServiceEnded(unknown, Content(1)))
        elif what == "failed":
            self.heard_as_noise(name, ServiceFailed(unknown, "out of memory"))
        else:
            for stage in (0, WHOLE_PROMPT):
                assert self.world.hear(name, TimerFired(TimerId(new, stage))) == []

    def lie(self, name, sender, task, *, refuse):
        message = Refusal(task, "no", 1) if refuse else Response(task, Content(7))
        self.heard_as_noise(name, MessageReceived(sender, message))

    def heard_as_noise(self, name, noise):
        """A node hears what it must ignore: counted once, and nothing else changes."""
        node = self.world.nodes[name]
        before, counts = node.ignored.total(), node.counts()
        assert self.world.hear(name, noise) == []
        assert node.ignored.total() == before + 1
        assert node.counts() == counts

    def teardown(self):
        """Let everything come to its end, and settle the accounts."""
        world = self.world
        world.settle()
        stuck = world.stuck()
        # Every promise is kept, once; only lost messages leave one open.
        assert world.ended.keys() | stuck == world.accepted.keys()
        assert not world.ended.keys() & stuck
        assert not stuck or world.dropped
        # Who was not promised anything was refused, or asked a node that crashed at once.
        refused = {prompt for prompt, end in world.told.items() if isinstance(end, Refuse)}
        assert not refused & world.accepted.keys()
        unheard = world.arrived - refused - world.accepted.keys()
        untold = world.ended.keys() - world.told.keys()
        assert not unheard | untold or any(world.incarnation.values())
        for name, node in world.nodes.items():
            waiting, serving, joining, unfinished = node.counts()
            assert (waiting, serving) == (0, 0)
            assert unfinished == sum(one == name for one, _ in stuck)
            assert unfinished or joining == 0
        # What is still read ahead is for prompts that can never end.
        assert {(name, task.prompt) for name, task in world.ahead} <= stuck
        world.assert_replay_agrees()
        for end in [*world.ended.values(), *(world.told[prompt] for prompt in refused)]:
            event(type(end).__name__)
        for what, seen in {
            "stuck": stuck,
            "crashed": any(world.incarnation.values()),
            "taken up again": any(task.attempt >= ATTEMPTS_MAX for task in world.asked),
            "read ahead": any(
                isinstance(action, Prefill) for *_, actions in world.log for action in actions
            ),
            "replaced": any(task.attempt % ATTEMPTS_MAX for task in world.asked),
            "not told before the crash": untold,
        }.items():
            if seen:
                event(what)


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=4 * settings().max_examples)


@given(
    names=st.sampled_from(["ab", "abc", "abcd", "abcde"]),
    layers=st.integers(0, 3),
    proposers=st.integers(0, 4),
    prompts=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    order=st.integers(0, 2**64 - 1).map(Stream),
)
def test_a_prompt_takes_k_plus_1_tasks_per_layer_and_one_more(
    names, layers, proposers, prompts, order
):
    # Mitra, Kaswan, Ulukus, arXiv 2412.21200: (k + 1) M + 1 tasks, where nothing is lost and every
    # node has at least k peers.
    proposers = min(proposers, len(names) - 1)
    peers = {name: Uniform(names.replace(name, "")) for name in names}
    plan = layered(layers, proposers)
    world = World(
        lambda: [
            Node(name, plan=plan, selection=peers[name], key=derive(1, name)) for name in names
        ]
    )
    for prompt, node in enumerate(prompts):
        world.arrive(names[node % len(names)], prompt)
    while world.under_way():
        world.go_on(int(order.uniform() * world.under_way()))
    assert len(world.started) == len(prompts) * ((proposers + 1) * layers + 1)
    assert world.told.keys() == world.arrived
    assert all(isinstance(end, Answer) for end in world.told.values())
