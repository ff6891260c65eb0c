%%% What a client accepts and how much it likes it: fields that are lists of names with quality values (RFC 9110, 12.4.2).
%%%
%%% Called by: hornbeam_compress, and by hornbeam_static. Calls: hornbeam_headers. Pure.
-module(hornbeam_preferences).

-export([offers/2, weight/3]).
-export_type([offers/0]).

%% Names in lower case; quality values in thousandths.
-type offers() :: [{Name :: binary(), Weight :: 0..1000}].

%% @doc The elements of all fields with that name.
-spec offers(Name :: binary(), hornbeam_headers:headers()) -> offers().
offers(Name, Fields) ->
    [offer(Element) || {Field, Value} <- Fields, Field =:= Name,
                       Element <- binary:split(hornbeam_headers:lower(Value), <<",">>, [global])].

%% @doc How much the client likes this one; the default where it says nothing of it.
-spec weight(Name :: binary(), offers(), Default) -> 0..1000 | Default.
weight(Name, Offers, Default) ->
    case lists:keyfind(Name, 1, Offers) of
        {_, Weight} -> Weight;
        false -> Default
    end.

offer(Element) ->
    [Name | Parameters] = [string:trim(Part) || Part <- binary:split(Element, <<";">>, [global])],
    {Name, case [Q || <<"q=", Q/binary>> <- Parameters] of [Q] -> quality(Q); _ -> 1000 end}.

%% One that makes no sense is a no.
quality(<<"1">>) -> 1000;
quality(<<"1.", _/binary>>) -> 1000;
quality(<<"0.", Digits/binary>>) when byte_size(Digits) =< 3, Digits =/= <<>> ->
    case hornbeam_headers:is_digits(Digits) of
        true -> binary_to_integer(binary:part(<<Digits/binary, "00">>, 0, 3));
        false -> 0
    end;
quality(_) -> 0.
