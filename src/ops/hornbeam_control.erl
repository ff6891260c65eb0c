%%% The control socket of a server: `bin/hornbeam reload', `mount', `unmount', `status', `cluster' and `stop' without Erlang distribution.
%%%
%%% Called by: hornbeam_server (a child, the last to start and the first to stop); hornbeam_control_client at the other end.
%%% Calls: hornbeam_server (info/1), hornbeam_reload, hornbeam_vm (stop/1), hornbeam_options, hornbeam_status, hornbeam_task_command, hornbeam_cluster_command, hornbeam_diagnose_command, hornbeam_figures, hornbeam_doctor, hornbeam_servers, hornbeam_descriptors.
%%%
%%% A Unix socket that only its owner can use: mode 0600, and by default in a folder of mode 0700
%%% (hornbeam_control_path). Whoever can write to it can do to the server what the operating system lets its owner do
%%% anyway. A request and its answer are one msgpack map each, in a packet of at most ?MAX_PACKET bytes, and ?MAX_ANSWER:
%%%
%%%     {"command": "status" | "reload" | "mount" | "unmount" | "cluster" | "stack" | ... | "stop", "arguments": [what follows on the command line]}
%%%     {"ok": bool, "text": what to show, "pid": the VM's process id, "data": of `figures' and `doctor', for a program}
%%%
%%% Failure modes: the socket cannot be made, or its file has vanished: a warning, and another try every ?RETRY ms (meanwhile the
%%% server can still be stopped by signal). No descriptor for a client: it waits. A client that says nothing is left
%%% after ?PATIENCE; at most ?MAX_CLIENTS are served at a time.
-module(hornbeam_control).
-behaviour(gen_server).

-include_lib("kernel/include/file.hrl").

-export([start_link/2, max_answer/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(MAX_PACKET, 65536).
%% A profile.
-define(MAX_ANSWER, 16777216).
-define(MAX_CLIENTS, 8).
-define(PATIENCE, 5000).
-define(RETRY, 1000).

-record(state, {
    name :: atom(),
    option :: binary(),
    open :: {Path :: binary(), inode(), gen_tcp:socket()} | undefined,
    warned = false :: boolean()
}).
-type inode() :: non_neg_integer().

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Name, Config) ->
    gen_server:start_link(?MODULE, {Name, Config}, []).

-spec max_answer() -> pos_integer().
max_answer() ->
    ?MAX_ANSWER.

-spec init({atom(), map()}) -> {ok, #state{}} | ignore.
init({_Name, #{control := <<"off">>}}) ->
    ignore;
init({Name, #{control := Option}}) ->
    process_flag(trap_exit, true),
    {ok, look(#state{name = Name, option = Option})}.

%% Whether the file is still there, and still ours.
look(#state{open = {Path, Inode, Socket}} = State) ->
    case inode(Path) of
        Inode ->
            later(State);
        _ ->
            ok = gen_tcp:close(Socket),
            look(State#state{open = undefined})
    end;
look(#state{name = Name, option = Option, warned = Warned} = State) ->
    case open(hornbeam_control_path:server(Option, Name)) of
        {ok, Path, Socket} ->
            _ = spawn_link(fun() -> accept(Socket, Name, 0) end),
            later(State#state{open = {Path, inode(Path), Socket}, warned = false});
        {error, Reason} ->
            _ = Warned orelse logger:warning("no control socket (bin/hornbeam reload, status, stop): ~ts", [Reason]),
            later(State#state{warned = true})
    end.

later(State) ->
    _ = erlang:send_after(?RETRY, self(), look),
    State.

inode(Path) ->
    case file:read_link_info(Path) of
        {ok, #file_info{inode = Inode}} -> Inode;
        {error, _} -> none
    end.

open({ok, Path}) ->
    Options = [local, binary, {ifaddr, {local, Path}}, {packet, 4}, {packet_size, ?MAX_PACKET}, {active, false}],
    case gen_tcp:listen(0, Options) of
        {ok, Socket} ->
            case file:change_mode(Path, 8#600) of
                ok -> {ok, Path, Socket};
                {error, Reason} -> ok = gen_tcp:close(Socket), {error, [Path, ": ", file:format_error(Reason)]}
            end;
        {error, Reason} ->
            {error, [Path, ": ", inet:format_error(Reason)]}
    end;
open({error, Reason}) ->
    {error, Reason}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, not_supported}, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info(look, State) ->
    {noreply, look(State)};
handle_info({'EXIT', _Acceptor, normal}, State) ->
    %% Of a socket that was closed.
    {noreply, State};
handle_info({'EXIT', _Acceptor, Reason}, State) ->
    {stop, Reason, State};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{open = undefined}) ->
    ok;
terminate(_Reason, #state{open = {Path, Inode, Socket}}) ->
    ok = gen_tcp:close(Socket),
    _ = inode(Path) =:= Inode andalso file:delete(Path),
    ok.

%%% One process accepts, one more serves each client.

accept(Socket, Name, Clients) when Clients >= ?MAX_CLIENTS ->
    receive {'DOWN', _, process, _, _} -> accept(Socket, Name, Clients - 1) end;
accept(Socket, Name, Clients) ->
    case gen_tcp:accept(Socket, ?RETRY) of
        {ok, Client} ->
            {Pid, _} = spawn_monitor(fun() -> receive go -> serve(Client, Name) end end),
            _ = gen_tcp:controlling_process(Client, Pid),
            Pid ! go,
            accept(Socket, Name, gone(Clients + 1));
        {error, timeout} ->
            accept(Socket, Name, gone(Clients));
        {error, closed} ->
            ok;
        {error, Reason} ->
            _ = case hornbeam_descriptors:is_shortage(Reason) of
                true -> hornbeam_descriptors:wait(Reason);
                %% The client has gone meanwhile.
                false -> ok
            end,
            accept(Socket, Name, gone(Clients))
    end.

gone(Clients) ->
    receive {'DOWN', _, process, _, _} -> gone(Clients - 1) after 0 -> Clients end.

serve(Client, Name) ->
    Answer = case gen_tcp:recv(Client, 0, ?PATIENCE) of
        {ok, Packet} -> request(hornbeam_msgpack:decode(Packet), Name);
        {error, _} -> none
    end,
    _ = Answer =:= none orelse gen_tcp:send(Client, hornbeam_msgpack:encode(Answer)),
    gen_tcp:close(Client).

request({ok, #{<<"command">> := Command, <<"arguments">> := Arguments}}, Name) when is_list(Arguments) ->
    case lists:all(fun is_binary/1, Arguments) of
        true -> command(Command, [unicode:characters_to_list(A) || A <- Arguments], Name);
        false -> answer(false, "arguments must be text")
    end;
request(_, _Name) ->
    answer(false, "not a request").

command(<<"status">>, _Arguments, Name) ->
    case hornbeam_server:info(Name) of
        {error, not_found} -> answer(false, "the server is starting or stopping");
        Info -> answer(true, hornbeam_status:text(Info))
    end;
command(<<"reload">>, Arguments, Name) ->
    case hornbeam_options:from_args(Arguments) of
        {ok, [], Given} -> done("reloaded", hornbeam_reload:reload(Name, maps:remove(control, Given)));
        {ok, [Extra | _], _} -> answer(false, ["reload takes flags; what is ", hornbeam_option_text:show(Extra), "?"]);
        Error -> failed(Error)
    end;
command(<<"mount">>, Arguments, Name) ->
    case hornbeam_options:from_args(Arguments) of
        {ok, [Mount], Given} -> done("mounted", hornbeam_reload:mount(Name, Mount, maps:remove(control, Given)));
        {ok, _, _} -> answer(false, "mount takes one application, such as /api=api:app");
        Error -> failed(Error)
    end;
command(<<"unmount">>, Arguments, Name) ->
    case hornbeam_options:from_args(Arguments) of
        {ok, [Place], _} -> done("unmounted", hornbeam_reload:unmount(Name, Place));
        {ok, _, _} -> answer(false, "unmount takes one place, such as /api");
        Error -> failed(Error)
    end;
command(<<"tasks">>, Arguments, Name) ->
    {Result, Text} = hornbeam_task_command:run(Name, Arguments),
    answer(Result =:= ok, Text);
command(<<"cluster">>, Arguments, Name) ->
    case hornbeam_servers:config(Name) of
        {ok, #{cluster := Cluster}} when Cluster =/= <<>> ->
            {Result, Text} = hornbeam_cluster_command:run(Arguments),
            answer(Result =:= ok, Text);
        _ ->
            answer(false, "this server is in no cluster (option cluster)")
    end;
command(Command, Arguments, Name) when Command =:= <<"stack">>; Command =:= <<"profile">>; Command =:= <<"memory">>; Command =:= <<"requests">> ->
    {Result, Text} = hornbeam_diagnose_command:run(Name, binary_to_list(Command), Arguments),
    answer(Result =:= ok, Text);
command(<<"figures">>, _Arguments, Name) ->
    case hornbeam_figures:take(Name) of
        {ok, Figures} -> (answer(true, ""))#{data => Figures};
        {error, not_found} -> answer(false, "the server is starting or stopping")
    end;
command(<<"doctor">>, _Arguments, Name) ->
    case hornbeam_servers:config(Name) of
        {ok, Config} ->
            Findings = hornbeam_doctor:examine(Config, running),
            (answer(true, ""))#{data => #{text => unicode:characters_to_binary(hornbeam_doctor:text(Findings)), wrong => hornbeam_doctor:is_wrong(Findings)}};
        error ->
            answer(false, "the server is starting or stopping")
    end;
command(<<"stop">>, _Arguments, Name) ->
    _ = spawn(fun() -> hornbeam_vm:stop(Name) end),
    answer(true, "stopping");
command(_Unknown, _Arguments, _Name) ->
    answer(false, "no such command").

done(Text, ok) -> answer(true, Text);
done(_Text, Error) -> failed(Error).

failed({error, {usage, Text}}) -> answer(false, Text);
failed({error, Reason}) -> answer(false, hornbeam_reason:format(Reason)).

answer(Ok, Text) ->
    #{ok => Ok, text => unicode:characters_to_binary(Text), pid => list_to_integer(os:getpid())}.
