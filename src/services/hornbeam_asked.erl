%%% Python's calls that another process answers, one that waits for nobody: asked without a process of their own.
%%%
%%% Owns the questions of one Python process that are not answered. Called by: hornbeam_services, in the worker's process, which gets the answers as
%%% messages. Calls: gen_server (requests with labels).
%%%
%%% A process that ends before it has answered is an answer, too: `gone'. There is no deadline: whoever is asked answers as soon as it can.
%%% What Python has cancelled is answered all the same, and nobody there knows the call any more.
%%%
%%% Limit: ?MAX_ASKED questions of one Python process; one more is refused.
-module(hornbeam_asked).

-export([new/0, ask/3, answered/2]).
-export_type([asked/0, question/0]).

-define(MAX_ASKED, 10000).

-opaque asked() :: gen_server:request_id_collection().
%% A call of a gen_server, and what its answer means to Python.
-type question() :: {pid(), Request :: term(), fun(({ok, Reply :: term()} | gone) -> hornbeam_answer:answer())}.

-spec new() -> asked().
new() -> gen_server:reqids_new().

-spec ask(Id :: non_neg_integer(), question(), asked()) -> {ok, asked()} | {error, too_many_calls}.
ask(Id, {Pid, Request, Meaning}, Asked) ->
    case gen_server:reqids_size(Asked) < ?MAX_ASKED of
        true -> {ok, gen_server:send_request(Pid, Request, {Id, Meaning}, Asked)};
        false -> {error, too_many_calls}
    end.

%% @doc What a message answers: the call and its answer; or nothing that was asked here.
-spec answered(Message :: term(), asked()) -> {Id :: non_neg_integer(), hornbeam_answer:answer(), asked()} | ignore.
answered(Message, Asked) ->
    case gen_server:check_response(Message, Asked, true) of
        {{reply, Reply}, {Id, Meaning}, Left} -> {Id, Meaning({ok, Reply}), Left};
        {{error, _}, {Id, Meaning}, Left} -> {Id, Meaning(gone), Left};
        _ -> ignore
    end.
