%%% The id of a request: taken from the header x-request-id, or made, and put where everybody can find it.
%%%
%%% Called by: hornbeam_observe, when the option `request_id' is on. Calls: nothing.
%%%
%%% The application finds it among the request's headers and in scope["extensions"]["hornbeam.request_id"] (the worker's server.py);
%%% what it logs carries it. One that a client chose is taken when it is short and plain, so that it cannot forge
%%% a log line; whoever does not trust clients with it lets the proxy overwrite it.
-module(hornbeam_request_id).

-export([take/1, add/2]).

-include("hornbeam_head.hrl").

-define(NAME, <<"x-request-id">>).
-define(MAX_SIZE, 128).

%% @doc The id, and the request with it in its fields.
-spec take(#head{}) -> {binary(), #head{}}.
take(#head{fields = Fields} = Head) ->
    case hornbeam_headers:find(?NAME, Fields) of
        {ok, Given} when Given =/= <<>>, byte_size(Given) =< ?MAX_SIZE ->
            case is_plain(Given) of
                true -> {Given, Head};
                false -> made(Head)
            end;
        _ ->
            made(Head)
    end.

%% 128 random bits; not a secret, so the quick generator will do.
made(#head{fields = Fields} = Head) ->
    Id = << <<(digit(N))>> || <<N:4>> <= rand:bytes(16) >>,
    {Id, Head#head{fields = lists:keystore(?NAME, 1, Fields, {?NAME, Id})}}.

digit(N) when N < 10 -> $0 + N;
digit(N) -> $a + N - 10.

is_plain(<<C, Rest/binary>>) when C >= $a, C =< $z; C >= $A, C =< $Z; C >= $0, C =< $9;
                                  C =:= $-; C =:= $_; C =:= $.; C =:= $:; C =:= $/; C =:= $+; C =:= $=; C =:= $@ ->
    is_plain(Rest);
is_plain(Rest) ->
    Rest =:= <<>>.

%% @doc Puts the id into a response's fields, unless the application has done so.
-spec add(binary(), hornbeam_headers:headers()) -> hornbeam_headers:headers().
add(Id, Headers) ->
    case lists:keymember(?NAME, 1, Headers) of
        true -> Headers;
        false -> Headers ++ [{?NAME, Id}]
    end.
