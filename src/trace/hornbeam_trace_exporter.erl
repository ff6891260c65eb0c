%%% Sends the spans of a server by OTLP over HTTP, many at once, and never makes a request wait.
%%%
%%% Called by: hornbeam_server (a child, where spans go somewhere), hornbeam_trace (put/2, in the connection's process), hornbeam_metrics_text
%%% (counts/1), hornbeam_server_remains (forget/1). Calls: hornbeam_bounded, hornbeam_lasting, hornbeam_trace_settings, hornbeam_trace_spans (from what a request was to spans),
%%% hornbeam_trace_otlp, hornbeam_trace_http.
%%%
%%%     connections ──what a request was──▶ this process ──?BATCH of them, or ?DELAY ms──▶ a process for the sending ──▶ OTLP
%%%
%%% What waits is bounded: ?MAX_WAITING requests in all, those that are being sent included (an atomic counter). Beyond that they are dropped and
%%% counted. One sending is in progress at a time.
%%%
%%% Failure modes. Whoever takes spans does not answer, or says 429, 502, 503 or 504: the same once more, after Retry-After or 1, 2, 4, 8 s, less up
%%% to a half of it at random; not more than ?TRIES times, nor later than ?PATIENCE ms after the first try. Any other answer that is no 2xx:
%%% these are given up, as OTLP says. Both are counted and said, once in ?SAY ms at most. This process crashes: its keeper starts it again, what
%%% waited is lost and counted. At the end of the server it has ?LAST_MS for what is left.
-module(hornbeam_trace_exporter).
-behaviour(gen_server).

-export([start_link/2, ref/1, put/2, counts/1, forget/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, send_all/1]).
-export_type([ref/0]).

-define(MAX_WAITING, 8192).
-define(BATCH, 512).
-define(DELAY, 1000).
-define(TRIES, 6).
-define(PATIENCE, 60000).
-define(FIRST_WAIT, 1000).
-define(SAY, 10000).
-define(LAST_MS, 2000).
%% Counters; the first two as hornbeam_bounded has them.
-define(WAITING, 1).
-define(DROPPED, 2).
-define(SENT, 3).
-define(FAILED, 4).

-record(ref, {writer :: atom(), counters :: atomics:atomics_ref()}).
-opaque ref() :: #ref{}.

-record(state, {
    ref :: ref(),
    export :: hornbeam_trace_settings:export(),
    server :: hornbeam_trace_spans:server(),
    version :: binary(),
    waiting = queue:new() :: queue:queue(hornbeam_trace_spans:request()),
    number = 0 :: non_neg_integer(),            % of those
    due = false :: boolean(),                   % the timer runs
    sending = none :: none | {pid(), reference(), Number :: pos_integer()},
    said = 0 :: integer(),                      % monotonic ms
    unsaid = {0, none} :: {non_neg_integer(), term()}
}).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore.
start_link(Name, Config) ->
    case hornbeam_trace_settings:export(Config) of
        none -> ignore;
        Export ->
            #ref{writer = Writer} = Ref = ref(Name),
            gen_server:start_link({local, Writer}, ?MODULE, {Ref, Export, hornbeam_trace_spans:server(Config)}, [{spawn_opt, [{message_queue_data, off_heap}]}])
    end.

%% @doc What connections need to write. The counters outlive the process.
-spec ref(Name :: atom()) -> ref().
ref(Name) ->
    hornbeam_lasting:get({?MODULE, Name}, fun() ->
        %% An atom of the server's name, which is one itself.
        #ref{writer = list_to_atom("hornbeam_trace." ++ atom_to_list(Name)), counters = atomics:new(4, [])}
    end).

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    hornbeam_lasting:forget({?MODULE, Name}).

%% @doc Requests whose spans were sent, dropped since too many waited, or given up.
-spec counts(Name :: atom()) -> none | #{sent | dropped | failed => non_neg_integer()}.
counts(Name) ->
    case persistent_term:get({?MODULE, Name}, none) of
        none -> none;
        #ref{counters = Counters} ->
            #{sent => atomics:get(Counters, ?SENT), dropped => atomics:get(Counters, ?DROPPED), failed => atomics:get(Counters, ?FAILED)}
    end.

%% @doc A request is over. Never blocks and never fails.
-spec put(ref(), hornbeam_trace_spans:request()) -> ok.
put(#ref{writer = Writer, counters = Counters}, Request) ->
    hornbeam_bounded:send(Writer, Counters, ?MAX_WAITING, fun() -> {request, Request} end).

-spec init({ref(), hornbeam_trace_settings:export(), hornbeam_trace_spans:server()}) -> {ok, #state{}}.
init({#ref{counters = Counters} = Ref, Export, Server}) ->
    process_flag(trap_exit, true),
    Lost = atomics:exchange(Counters, ?WAITING, 0),
    ok = atomics:add(Counters, ?DROPPED, Lost),
    {ok, Version} = application:get_key(hornbeam, vsn),
    {ok, #state{ref = Ref, export = Export, server = Server, version = list_to_binary(Version)}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, not_supported}, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({request, Request}, State) ->
    {noreply, arranged(added(Request, State))};
handle_info(due, State) ->
    {noreply, send(State#state{due = false})};
handle_info({'DOWN', Monitor, process, _, Outcome}, #state{sending = {_, Monitor, Number}} = State) ->
    {noreply, arranged(done(Outcome, Number, State#state{sending = none}))};
handle_info(_Message, State) ->
    {noreply, State}.

added(Request, #state{waiting = Waiting, number = Number} = State) ->
    State#state{waiting = queue:in(Request, Waiting), number = Number + 1}.

arranged(#state{number = Number, sending = none} = State) when Number >= ?BATCH ->
    send(State);
arranged(#state{number = Number, due = false} = State) when Number > 0 ->
    _ = erlang:send_after(?DELAY, self(), due),
    State#state{due = true};
arranged(State) ->
    State.

send(#state{sending = none, number = Number, waiting = Waiting} = State) when Number > 0 ->
    Size = min(?BATCH, Number),
    {Batch, Rest} = queue:split(Size, Waiting),
    Sender = sender(queue:to_list(Batch), State),
    {Pid, Monitor} = spawn_monitor(?MODULE, send_all, [Sender]),
    State#state{sending = {Pid, Monitor, Size}, waiting = Rest, number = Number - Size};
send(State) ->
    State.

%% @private In a process for it, whose end says what has become of them.
-spec send_all(fun((Tries :: pos_integer()) -> sent | {failed, term()})) -> no_return().
send_all(Sender) -> exit(Sender(?TRIES)).

%% In a process for it, or at the end.
sender(Requests, #state{export = #{url := Url, format := Format, headers := Given, resource := Resource, gzip := Gzip} = Export, server = Server, version = Version}) ->
    fun(Tries) ->
        Spans = lists:append([hornbeam_trace_spans:spans(Request, Server) || Request <- Requests]),
        Plain = hornbeam_trace_otlp:encode(Format, Resource, Version, Spans),
        Body = case Gzip of true -> zlib:gzip(Plain); false -> iolist_to_binary(Plain) end,
        Headers = [{<<"content-type">>, hornbeam_trace_otlp:content_type(Format)}, {<<"user-agent">>, [<<"hornbeam/">>, Version]}]
            ++ [{<<"content-encoding">>, <<"gzip">>} || Gzip] ++ Given,
        attempt(fun() -> hornbeam_trace_http:post(Url, Headers, Body, Export) end, Tries, ?FIRST_WAIT, erlang:monotonic_time(millisecond) + ?PATIENCE)
    end.

attempt(Post, Tries, Wait, Until) ->
    case Post() of
        {ok, Status, _} when Status >= 200, Status < 300 -> sent;
        {ok, Status, After} when Status =:= 429; Status =:= 502; Status =:= 503; Status =:= 504 -> again({status, Status}, After, Post, Tries, Wait, Until);
        {ok, Status, _} -> {failed, {status, Status}};
        {error, Reason} -> again(Reason, none, Post, Tries, Wait, Until)
    end.

again(Why, After, Post, Tries, Wait, Until) ->
    Time = case After of none -> Wait div 2 + rand:uniform(Wait div 2); Seconds -> Seconds * 1000 end,
    case Tries > 1 andalso erlang:monotonic_time(millisecond) + Time =< Until of
        true -> receive after Time -> attempt(Post, Tries - 1, Wait * 2, Until) end;
        false -> {failed, Why}
    end.

done(Outcome, Number, #state{ref = #ref{counters = Counters}} = State) ->
    ok = atomics:sub(Counters, ?WAITING, Number),
    case Outcome of
        sent -> ok = atomics:add(Counters, ?SENT, Number), State;
        {failed, Why} -> ok = atomics:add(Counters, ?FAILED, Number), say(Number, Why, State);
        Crash -> ok = atomics:add(Counters, ?FAILED, Number), say(Number, Crash, State)
    end.

say(Number, Why, #state{said = Said, unsaid = {Before, _}, export = #{url := Url}} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case Said =:= 0 orelse Now - Said >= ?SAY of
        true ->
            logger:warning("the spans of ~b requests were given up: ~ts ~ts", [Before + Number, Url, reason(Why)]),
            State#state{said = Now, unsaid = {0, none}};
        false ->
            State#state{unsaid = {Before + Number, Why}}
    end.

reason({status, Status}) -> io_lib:format("answers ~b", [Status]);
reason(Reason) when is_atom(Reason) -> ["does not answer: ", inet:format_error(Reason)];
reason(Reason) -> io_lib:format("does not answer: ~0tp", [Reason]).

%% What is left gets one try.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{sending = Sending, export = Export, ref = #ref{counters = Counters}} = State0) ->
    State = rest(State0),
    _ = Sending =:= none orelse exit(element(1, Sending), kill),
    case queue:to_list(State#state.waiting) of
        [] -> ok;
        Requests ->
            Sender = sender(Requests, State#state{export = Export#{timeout := ?LAST_MS}}),
            _ = try Sender(1) of
                sent -> atomics:add(Counters, ?SENT, length(Requests));
                _ -> atomics:add(Counters, ?FAILED, length(Requests))
            catch Class:_ -> logger:warning("what was left of the spans could not be sent (~p)", [Class])
            end,
            ok
    end.

rest(State) ->
    receive {request, Request} -> rest(added(Request, State))
    after 0 -> State
    end.
